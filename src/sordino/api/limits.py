"""How those are refused who ask too often."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sordino import errors
from sordino.errors import ErrorKind, ServiceError
from sordino.wire.address import Service

RETRY_AFTER: Final = "Retry-After"

_KINDS: Final[Mapping[Service, ErrorKind]] = MappingProxyType(
    {Service.CI: errors.CI_SLOW_DOWN, Service.COS: errors.SLOW_DOWN}
)


def slow_down(service: Service, wait: float, message: str) -> ServiceError:
    """The refusal, which says after how many whole seconds it may be worth trying again."""
    return _KINDS[service](message, {RETRY_AFTER: str(max(1, math.ceil(wait)))})
