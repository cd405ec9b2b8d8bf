"""``sordino admin audit``: who was let do what, and who was not."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sordino.cli.administer import administer, show
from sordino.cli.operate import Data, JsonArray

if TYPE_CHECKING:
    from sordino.domain.audit import NumberedEntry

MAX_ENTRIES: Final = 1000
NONE: Final = "No such call is in the log."
_FORMATS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


def audit(
    *,
    account: Annotated[
        str | None, typer.Option(help="APPID of the account that called, or whose it was.", metavar="APPID")
    ] = None,
    caller: Annotated[
        str | None, typer.Option(help="`uin/NUMBER`, `roleName/NAME`, `operator/NAME`, `anonymous` or `unknown`.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="SecretId.", metavar="SECRETID")] = None,
    source: Annotated[str | None, typer.Option(help="Address of the client.")] = None,
    action: Annotated[str | None, typer.Option(help="Such as `cos:PutObject`.")] = None,
    request_id: Annotated[str | None, typer.Option(help="As in the reply.")] = None,
    denied: Annotated[bool, typer.Option("--denied", help="Only what was refused.")] = False,
    since: Annotated[datetime | None, typer.Option(formats=_FORMATS, help="Not before, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_FORMATS, help="Before, UTC.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only entries with smaller numbers: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ENTRIES, help="At most so many, the newest.")] = 50,
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """Show the audit log, the newest first: calls that changed something, and calls that were refused."""
    from sordino.domain.audit import AuditSearch

    search = AuditSearch(
        account=account,
        caller=caller,
        secret_id=key,
        source=source,
        action=action,
        request_id=request_id,
        allowed=False if denied else None,
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
        before=before,
        size=limit,
    )
    found = administer(data, lambda it, _: it.audit.search(search))
    row = _whole if as_json else _short
    show([row(entry) for entry in found], as_json=as_json, none=NONE)


def _short(found: "NumberedEntry") -> Mapping[str, Any]:
    entry = found.entry
    return {
        "number": found.number,
        "at": f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "caller": entry.caller if entry.appid is None else f"{entry.appid} {entry.caller}",
        "source": entry.source,
        "action": entry.action,
        "resource": entry.resource,
        "decision": "allowed" if entry.allowed else "denied",
        "code": entry.code or None,
        # Decisions say again what they are about.
        "reason": entry.reason.removeprefix(f"{entry.action} on {entry.resource}: ") or None,
    }


def _whole(found: "NumberedEntry") -> Mapping[str, Any]:
    entry = found.entry
    return {
        "number": found.number,
        "at": entry.at.isoformat(),
        "account": entry.appid,
        "caller": entry.caller,
        "secret_id": entry.secret_id,
        "source": entry.source,
        "request_id": entry.request_id,
        "action": entry.action,
        "resource": entry.resource,
        "owner": entry.owner,
        "allowed": entry.allowed,
        "code": entry.code,
        "reason": entry.reason,
    }
