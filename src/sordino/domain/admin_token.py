"""Who may use the admin API."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

MAX_DAYS: Final = 3650
"""That a token may be good; one that says nothing is for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminToken:
    """A bearer token, which itself nobody keeps.

    Attributes:
        appid: of the one account that it may see and change; None: all of them.
        read_only: whether it may only look.
        expires_at: None: never.
        used_at: last, to the minute or so; None: never.
    """

    name: str
    appid: str | None = None
    read_only: bool = False
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None
