"""The admin API's ASGI application: token → route → reply in JSON. It is imported where it is to be served alone."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from sordino import errors
from sordino.api.admin import accounts, audit, buckets, jobs, keys, policies, roles, simulation, tokens, users
from sordino.api.admin.call import CALL, Cases
from sordino.api.admin.failures import Failure, failed, of_http, of_validation
from sordino.api.admin.fields import MAX_BYTES
from sordino.api.admin.sign_in import sign_in
from sordino.api.body import chunks
from sordino.domain.ports import DatabaseUnavailableError
from sordino.errors import ServiceError
from sordino.version import __version__
from sordino.wire.ids import new_request_id

log = structlog.get_logger(__name__)

REQUEST_ID: Final = "sordino.request_id"
DOCUMENT: Final = "/openapi.json"

_ROUTES: Final = (accounts, users, keys, policies, simulation, roles, buckets, jobs, audit, tokens)
_SILENT: Final = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)


class AdminApplication:
    """Answers every HTTP request of the admin API."""

    def __init__(self, cases: Cases) -> None:
        self._cases = cases
        self._routes = routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI 3; only HTTP is spoken."""
        if scope["type"] != "http":
            raise RuntimeError(f"Sordino speaks HTTP only, not {scope['type']}")
        request_id, began = new_request_id(self._cases.clock.now()), time.monotonic()
        statuses: list[int] = []

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                headers["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._answer({**scope, REQUEST_ID: request_id}, receive, send_marked)
            except Exception:
                log.exception("reply broke")
                if not statuses:
                    raise
            log.info(
                "admin request",
                method=scope["method"],
                path=scope["path"],
                status=statuses[-1] if statuses else None,
                milliseconds=round((time.monotonic() - began) * 1000, 1),
            )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if scope["path"] != DOCUMENT:
                scope[CALL] = await sign_in(self._cases, request, scope[REQUEST_ID])
            body = b"".join([chunk async for chunk in chunks(request, MAX_BYTES, errors.CONTENT_TOO_LARGE)])
        except ServiceError as refusal:
            await _fail(refusal, scope)(scope, receive, send)
        except DatabaseUnavailableError as error:
            await _fail(_away(error), scope)(scope, receive, send)
        else:
            await self._routes(scope, _having(body, receive), send)


def routes() -> FastAPI:
    """The calls there are, and the document that tells of them; its pages would load scripts from elsewhere."""
    app = FastAPI(
        title="Sordino admin API",
        description="Who may do what on a Sordino server, its limits, and its audit log.",
        version=__version__,
        openapi_url=DOCUMENT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_SILENT,
        generate_unique_id_function=_name,
        responses={"4XX": {"model": Failure}, "5XX": {"model": Failure}},
    )
    for module in _ROUTES:
        app.include_router(module.routes)
    app.add_exception_handler(ServiceError, _told(lambda refusal: refusal))
    app.add_exception_handler(RequestValidationError, _told(of_validation))
    app.add_exception_handler(HTTPException, _told(of_http))
    app.add_exception_handler(DatabaseUnavailableError, _told(_away))
    app.add_exception_handler(Exception, _told(lambda _: errors.INTERNAL_ERROR()))
    return app


def _having(body: bytes, receive: Receive) -> Receive:
    """What is received where the body has been already: it, and what comes after it."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return parts.pop() if parts else await receive()

    return receive_again


def _name(route: APIRoute) -> str:
    return route.name


def _away(error: Exception) -> ServiceError:
    log.warning("the database does not answer", error=str(error))
    return errors.SERVICE_UNAVAILABLE()


def _told(read: Callable[..., ServiceError]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def tell(request: Request, exception: Exception) -> Response:
        return _fail(read(exception), request.scope)

    return tell


def _fail(refusal: ServiceError, scope: Scope) -> Response:
    log.info("refused", code=refusal.code, message=refusal.message)
    return failed(refusal, scope[REQUEST_ID])
