"""How those are refused who ask too often."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sordino import errors
from sordino.cam import limits
from sordino.errors import ErrorKind, ServiceError
from sordino.wire.address import Service

TOO_MANY_REQUESTS: Final = (
    "More requests a second come from this account, or with this key, than may; send fewer, or ask for a higher limit."
)
TOO_MANY_FAILURES: Final = (
    "Too many requests from your address were wrongly signed, or named keys that there are not; try again later, with "
    "the right key."
)

_KINDS: Final[Mapping[Service, ErrorKind]] = MappingProxyType(
    {Service.CI: errors.CI_SLOW_DOWN, Service.COS: errors.SLOW_DOWN}
)


def slow_down(service: Service, wait: float, message: str) -> ServiceError:
    """The refusal in the way of a service."""
    return limits.slow_down(_KINDS[service], wait, message)
