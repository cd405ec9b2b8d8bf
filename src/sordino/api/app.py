"""The ASGI application: address, sign-in, operation, access, reply; and the one place where a refusal becomes XML."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from sordino import errors
from sordino.api import cmq, health, sts
from sordino.api.access import authorize
from sordino.api.auth import read, sign_in
from sordino.api.call import Call, Services, xml
from sordino.api.cors import PREFLIGHT, preflight, show_to_page
from sordino.api.object_headers import refuse_repeated
from sordino.api.operations import admit
from sordino.domain.ports import BlobStoreError, BlobStoreFullError, DatabaseUnavailableError, MountedStoreError
from sordino.errors import ServiceError
from sordino.wire.address import Address, Service, resolve
from sordino.wire.headers import canonical
from sordino.wire.ids import new_request_id, new_trace_id
from sordino.wire.query import Query
from sordino.wire.responses import render_error
from sordino.wire.times import http_date

log = structlog.get_logger(__name__)

DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 10.0
NO_ROOM = "The server has no room for objects. Whoever runs it must make some; then try again."
MOUNT_AWAY = "The store that the bucket is mounted on does not answer; try again, and tell its operator if it stays so."
CROWDED = "sordino.crowded"
"""The key of a scope under which the server says that it has more connections than it may have."""
READS = frozenset({"GET", "HEAD", PREFLIGHT})
"""Methods of COS and CI by which nothing is changed."""
SERVERS: Mapping[Service, str] = {Service.CI: "tencent-ci", Service.COS: "tencent-cos"}


class Application:
    """Answers every HTTP request of the service."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def stop(self) -> None:
        """Send those away who wait for messages: the server stops."""
        if self._services.messages is not None:
            self._services.messages.queues.arrivals.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI 3; only HTTP is spoken."""
        if scope["type"] != "http":
            raise RuntimeError(f"Sordino speaks HTTP only, not {scope['type']}")
        await _Exchange(self._services, Request(scope, receive)).run(scope, receive, send)


class _Exchange:
    """One request and its reply."""

    def __init__(self, services: Services, request: Request) -> None:
        self._services = services
        self._request = request
        self._id = new_request_id(services.clock.now())
        self._visit = services.watch.visit(request, self._id)
        # Until the address is known a failure is told in COS's way, which every SDK reads, and to the pages that may
        # read of any bucket.
        self._service = Service.COS
        self._cors = services.sharing.default_cors
        self._vary = False

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        with structlog.contextvars.bound_contextvars(request_id=self._id):
            response = await self._respond()
            self._add_common_headers(response)
            self._add_cors_headers(response)
            try:
                await response(scope, receive, _canonical(send))
            except Exception:
                # The server ends the connection; only here is it known whose reply it was.
                log.exception("reply broke")
                raise
            log.info(
                "request",
                method=self._request.method,
                target=scope["raw_path"].decode("latin-1"),
                status=response.status_code,
                milliseconds=round((time.monotonic() - began) * 1000, 1),
            )

    async def _respond(self) -> Response:
        try:
            return await self._answer()
        except ServiceError as refusal:
            log.info("refused", code=refusal.code, message=refusal.message)
            return await self._refuse(refusal)
        except BlobStoreFullError as error:
            log.error("the store of objects is full", error=str(error))  # noqa: TRY400 - where it broke says nothing
            return await self._refuse(errors.SERVICE_UNAVAILABLE(NO_ROOM))
        except MountedStoreError as error:
            log.warning("a mounted store does not answer", error=str(error))
            return await self._refuse(errors.SERVICE_UNAVAILABLE(MOUNT_AWAY))
        except (DatabaseUnavailableError, BlobStoreError) as error:
            log.warning("a store does not answer", error=str(error))
            return await self._refuse(errors.SERVICE_UNAVAILABLE())
        except Exception:
            log.exception("request broke")
            return await self._refuse(errors.INTERNAL_ERROR())

    async def _answer(self) -> Response:
        request, settings = self._request, self._services.settings
        address = resolve(
            request.headers.get("host", ""),
            request.scope["raw_path"],
            default_bucket=settings.default_bucket,
            ci_on_any_host=settings.ci_on_any_host,
        )
        self._service = address.service
        if answer := await health.answer(address, self._services.database):
            return answer
        if request.scope.get(CROWDED):
            raise errors.SERVICE_UNAVAILABLE(
                "More clients are connected than this server takes; try again, or keep fewer connections.",
                {"Connection": "close"},
            )
        if request.headers.get("origin"):
            self._cors = await self._services.sharing.cors_in_force(address.bucket)
        if request.method == PREFLIGHT:
            return preflight(request, self._cors)
        messages = self._services.messages
        if messages is not None and cmq.is_call(address, request):
            services = self._services
            return await cmq.answer(
                request, address, messages, database=services.database, clock=services.clock, visit=self._visit
            )
        if sts.is_call(address, request):
            return await sts.answer(request, address, self._services, self._visit)
        return await self._call(address)

    async def _call(self, address: Address) -> Response:
        refuse_repeated(self._request)
        services = self._services
        query = Query.parse(self._request.scope["query_string"])
        signed_in = await sign_in(
            read(self._request, address.service, query),
            self._request,
            address,
            query,
            visit=self._visit,
            database=services.database,
            now=services.clock.now(),
            skew=services.settings.clock_skew_seconds,
        )
        self._vary = signed_in.bucket is not None and signed_in.bucket.vary_origin
        call = Call(
            request=self._request,
            request_id=self._id,
            visit=self._visit,
            services=services,
            address=address,
            query=query,
            signer=signed_in.key,
            named_bucket=signed_in.bucket,
        )
        operation = admit(call)
        response = await operation.handler(await authorize(call, operation))
        self._end_visit(response.status_code)
        return response

    def _end_visit(self, status: int, code: str = "", reason: str = "") -> None:
        writes = self._request.method not in READS
        self._visit.end(self._services.clock.now(), writes=writes, status=status, code=code, reason=reason)

    async def _refuse(self, refusal: ServiceError) -> Response:
        self._end_visit(refusal.status, refusal.code, refusal.message)
        await self._drain()
        trace_id = new_trace_id()
        headers = {**refusal.headers, f"x-{self._service.value}-trace-id": trace_id}
        if self._request.method == "HEAD":
            return Response(status_code=refusal.status, headers=headers)
        body = render_error(
            self._service,
            refusal,
            resource=self._request.scope["raw_path"].decode("latin-1"),
            request_id=self._id,
            trace_id=trace_id,
        )
        return xml(body, refusal.status, headers)

    async def _drain(self) -> None:
        """Read on for a while before refusing: a client still sending would lose the reply with the connection.

        A client that waits for 100 Continue is not sending yet, and is spared it.
        """
        if self._request.headers.get("expect", "").lower() == "100-continue":
            return
        drained = 0
        with suppress(ClientDisconnect, RuntimeError, TimeoutError):  # RuntimeError: the body was read already
            async with asyncio.timeout(DRAIN_SECONDS):
                async for chunk in self._request.stream():
                    drained += len(chunk)
                    if drained > DRAIN_BYTES:
                        return

    def _add_common_headers(self, response: Response) -> None:
        response.headers["Date"] = http_date(self._services.clock.now())
        response.headers["Server"] = SERVERS[self._service]
        response.headers[f"x-{self._service.value}-request-id"] = self._id
        # The PHP SDK repeats what is refused without this one six times, on either service.
        response.headers["x-cos-request-id"] = self._id

    def _add_cors_headers(self, response: Response) -> None:
        if self._vary:
            response.headers["Vary"] = "Origin"
        if self._request.method != PREFLIGHT:
            show_to_page(response, self._request, self._cors)


def _canonical(send: Send) -> Send:
    """Starlette lower-cases header names; the official Python SDK looks them up in canonical case."""

    async def send_canonical(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [(canonical(name), value) for name, value in message["headers"]]
        await send(message)

    return send_canonical
