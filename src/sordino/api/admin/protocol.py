"""HTTP/1.1 on the port of the admin API: as on the others, but refused in JSON."""

from collections.abc import Mapping

from sordino.api.admin.fields import JSON, failure
from sordino.api.protocol import Protocol
from sordino.errors import ServiceError


class AdminProtocol(Protocol):
    """One connection of a client."""

    def told(self, refusal: ServiceError, request_id: str) -> tuple[Mapping[str, str], bytes]:
        """What is said of a request that no application saw."""
        headers = {"Content-Type": JSON, "Cache-Control": "no-store", "X-Request-Id": request_id}
        return headers, failure(refusal, request_id)
