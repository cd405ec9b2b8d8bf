"""Documents of policies, as they are put."""

from sordino import errors
from sordino.domain.policy import Policy, PolicyError, PolicyKind, parse_policy


def read_document(text: str, kind: PolicyKind) -> Policy:
    """Read a document that somebody wants to put.

    Raises:
        ServiceError: MalformedPolicy: it is no policy of that kind; the message says where.
    """
    try:
        text.encode()
        return parse_policy(text, kind)
    except UnicodeEncodeError:
        raise errors.MALFORMED_POLICY("The policy holds half a character; write it as UTF-8.") from None
    except PolicyError as error:
        raise errors.MALFORMED_POLICY(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
