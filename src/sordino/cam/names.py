"""Names of users, groups, policies and roles, numbers of accounts, and what is said of them."""

import re
from typing import Final

from sordino import errors

MAX_NAME: Final = 64
MAX_DESCRIPTION: Final = 300

_NAME: Final = re.compile(rf"[A-Za-z0-9+=,.@_-]{{1,{MAX_NAME}}}")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")


def is_number(text: str) -> bool:
    """Whether it may be an APPID or a uin: 1 to 20 digits."""
    return _NUMBER.fullmatch(text) is not None


def check_name(what: str, name: str) -> None:
    """Refuse a name that a user, a group, a policy or a role cannot have.

    Args:
        what: of these.
        name: 1 to ``MAX_NAME`` of English letters, digits and ``+=,.@_-``.

    Raises:
        ServiceError: InvalidArgument.
    """
    if _NAME.fullmatch(name) is None:
        raise errors.INVALID_ARGUMENT(
            f"The name of the {what} is {name[:80]!r}; use 1 to {MAX_NAME} of A-Z, a-z, 0-9 and +=,.@_-"
        )


def check_description(text: str, most: int = MAX_DESCRIPTION) -> None:
    """Refuse a description that is too long, or that a terminal cannot show.

    Raises:
        ServiceError: InvalidArgument.
    """
    if len(text) > most or not text.isprintable():
        raise errors.INVALID_ARGUMENT(f"{text[:80]!r} does not do; write at most {most} characters on one line.")
