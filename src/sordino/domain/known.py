"""What is known of every call that conditions of policies ask for, whatever service it is of."""

from datetime import datetime

from sordino.domain.identity import Caller, CallerKind
from sordino.domain.resource import Resource


def of_everyone(caller: Caller | None, source: str, now: datetime, resource: Resource) -> dict[str, tuple[str, ...]]:
    """What is known of the requests of every service.

    Args:
        caller: None: nobody signed.
        source: the client's address; empty: it is not known.
        now: aware.
        resource: what is asked for.
    """
    known = {"qcs:ip": source, "qcs:current_time": now.isoformat(timespec="seconds")}
    if resource.region:
        known[f"{resource.service}:region"] = resource.region
    if caller is not None:
        known["qcs:owner_uin"] = caller.account.uin
        if caller.kind is not CallerKind.ROLE:
            known["qcs:uin"] = caller.name
    return {key: (value,) for key, value in known.items() if value}
