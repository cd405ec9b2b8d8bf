"""Whose key it is that a request names."""

from sordino.domain.bucket import Bucket
from sordino.domain.identity import Signer
from sordino.domain.ports import Transaction


async def find_signer(
    tx: Transaction, secret_id: str, token: str | None, bucket: str = ""
) -> tuple[Signer, Bucket | None] | None:
    """Whose key it is, and the bucket of that full name, if there is one; None: there is no such key, or no more.

    Whether signature and token are right is another question: a temporary key may have come without its token.

    Args:
        tx: where to look.
        secret_id: of the key.
        token: as it came; with one a temporary key is looked for first.
        bucket: no bucket has an empty name.
    """
    kinds = [tx.identities.signer, tx.identities.temporary]
    for look_up in kinds if token is None else reversed(kinds):
        if found := await look_up(secret_id, bucket):
            return found
    return None
