"""Who is calling."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A tenant: ``appid`` ends its bucket names, ``uin`` is the number of its root user."""

    appid: str
    uin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A key pair of an account; the secret never shows in a repr."""

    secret_id: str
    secret_key: str = field(repr=False)
    account: Account
