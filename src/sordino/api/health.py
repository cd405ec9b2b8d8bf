"""Probes: ``/healthz`` (the process answers) and ``/readyz`` (it can do its work), on hosts that name no bucket."""

from starlette.responses import JSONResponse, Response

from sordino.domain.ports import Database
from sordino.version import __version__
from sordino.wire.address import Address


async def answer(address: Address, database: Database) -> Response | None:
    """The probe's reply, None when the address is not a probe's."""
    if address.bucket is not None:
        return None
    if address.path == "/healthz":
        return JSONResponse({"status": "ok", "version": __version__})
    if address.path == "/readyz":
        ready = await database.ready()
        status = {"status": "ready"} if ready else {"status": "not ready", "reason": "the database does not answer"}
        return JSONResponse(status, 200 if ready else 503)
    return None
