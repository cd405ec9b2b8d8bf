"""Tokens: what must come with a temporary key, besides its signature."""

import hashlib
import hmac
from datetime import datetime
from enum import StrEnum

from sordino.domain.identity import Signer


class TokenFault(StrEnum):
    """What is wrong with the token of a request, as the end of "the key ..."."""

    MISSING = "is a temporary one: send the token that came with it"
    NEEDLESS = "is a permanent one: send no token with it"
    WRONG = "is a temporary one, and the token is not the one that came with it"
    EXPIRED = "is a temporary one whose time is over: ask for a new one"


def digest(token: str) -> str:
    """What is kept of a token: its SHA-256, in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_fault(signer: Signer, token: str | None, now: datetime) -> TokenFault | None:
    """What is wrong with the token that came with a signer's request; None: nothing.

    Args:
        signer: whose key it says to be; its signature is another matter.
        token: as it came; None: none did.
        now: aware.
    """
    if signer.token is None:
        return None if token is None else TokenFault.NEEDLESS
    if token is None:
        return TokenFault.MISSING
    if not hmac.compare_digest(digest(token), signer.token):
        return TokenFault.WRONG
    if signer.expires_at is not None and now >= signer.expires_at:
        return TokenFault.EXPIRED
    return None
