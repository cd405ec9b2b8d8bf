"""Numbers of users and key pairs, made at random in the cloud's form."""

import secrets
import string
from typing import Final

from sordino.domain.identity import AccessKey, Account

_ALPHABET: Final = string.ascii_letters + string.digits


def new_uin() -> str:
    """The number of a user or of a root: 12 digits."""
    return f"1000{secrets.randbelow(10**8):08d}"


def new_temporary_pair() -> tuple[str, str]:
    """SecretId and SecretKey of a temporary key: ``AKID`` + 64, so that it is known from a permanent one, and 44."""
    return "AKID" + _random(64), _random(44)


def new_secret_id() -> str:
    """The id of a key: ``AKID`` + 32."""
    return "AKID" + _random(32)


def new_access_key(account: Account, uin: str | None = None, *, secret_id: str | None = None) -> AccessKey:
    """A key pair of a user of an account, or of its root, of that id or a new one; the SecretKey has 32 characters."""
    return AccessKey(secret_id=secret_id or new_secret_id(), secret_key=_random(32), account=account, uin=uin)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
