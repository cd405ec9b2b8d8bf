"""Probes: ``/healthz`` (the process answers) and ``/readyz`` (it can do its work).

They answer where the request names no bucket, also when a default bucket is set; objects of these names in the default
bucket are reached by naming it.
"""

from starlette.responses import JSONResponse, Response

from sordino.domain.ports import Database
from sordino.version import __version__
from sordino.wire.address import Address, Style

PLACES = (Style.DEFAULT, Style.BUCKETLESS)
NOT_READY = "the database does not answer, or its schema is not this version's"


async def answer(address: Address, database: Database) -> Response | None:
    """The probe's reply, None when the address is not a probe's."""
    if address.style not in PLACES:
        return None
    if address.path == "/healthz":
        return JSONResponse({"status": "ok", "version": __version__})
    if address.path == "/readyz":
        ready = await database.ready()
        status = {"status": "ready"} if ready else {"status": "not ready", "reason": NOT_READY}
        return JSONResponse(status, 200 if ready else 503)
    return None
