"""How the admin API tells that something was refused, or failed."""

from collections.abc import Mapping
from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sordino import errors
from sordino.api.admin.fields import JSON, View, failure
from sordino.errors import ErrorKind, ServiceError


class Failure(View):
    """Why there is no other reply."""

    code: str
    """Such as `NoSuchEntity`."""
    message: str
    """For people: what is wrong, and what to do."""
    request_id: str
    """Finds the call in the server's log and the audit log."""


_OF_HTTP: Final[Mapping[int, ErrorKind]] = {
    404: errors.INVALID_URL,
    405: errors.METHOD_NOT_ALLOWED,
}
_MESSAGES: Final[Mapping[int, str]] = {
    400: "The body could not be read; send JSON in UTF-8.",
    404: "There is no such call; see /openapi.json.",
}


def failed(refusal: ServiceError, request_id: str) -> Response:
    """The reply."""
    return Response(failure(refusal, request_id), refusal.status, dict(refusal.headers), JSON)


def of_http(refusal: HTTPException) -> ServiceError:
    """A refusal of the framework's own."""
    kind = _OF_HTTP.get(refusal.status_code, errors.INVALID_ARGUMENT)
    return kind(_MESSAGES.get(refusal.status_code), refusal.headers or {})


def of_validation(refusal: RequestValidationError) -> ServiceError:
    """What is wrong with path, query or body: its first fault, with its place."""
    fault = refusal.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return errors.INVALID_ARGUMENT(f"{place[:200]}: {fault['msg']}.")
