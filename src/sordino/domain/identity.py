"""Who is calling."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A tenant.

    Attributes:
        appid: ends its bucket names.
        uin: number of its root user.
        weight: its share of the workers beside other accounts, 1 to ``release.MAX_WEIGHT``.
    """

    appid: str
    uin: str
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A key pair of an account; the secret never shows in a repr."""

    secret_id: str
    secret_key: str = field(repr=False)
    account: Account
