"""Decisions over keys of mounted buckets, whose stores may take a key for another one.

Here a key is a text, and ``a//b`` is not ``a/b``. A store that keeps objects as files, or stands behind a proxy that
tidies paths, folds slashes, takes backslashes for them, and follows ``.`` and ``..``: what a policy says of ``a/*``
would be got around by ``/a/b``, and what is mounted would be left by ``..``.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sordino.domain.bucket import Bucket
from sordino.domain.decision import Asked, Decision, Effect

_SLASHES: Final = re.compile(r"[/\\]+")
_STEPS: Final = frozenset({".", ".."})
_NO_STEPS: Final = "the store that the bucket is mounted on may take . and .. for steps to another object"


def decide_mounted(decide: Callable[[Asked], Decision], asked: Asked, bucket: Bucket | None) -> Decision:
    """Decide over a call; in a mounted bucket over all that its store may take the key for.

    Args:
        decide: decides over one.
        asked: what a caller wants.
        bucket: that it is about; None: it is about none.
    """
    decision = decide(asked)
    path = asked.resource.path
    if bucket is None or not bucket.mounted or path is None or decision.effect is Effect.DENY:
        return decision
    if asked.resource.service != "cos":
        return decision
    name, _, key = path.partition("/")
    if not _STEPS.isdisjoint(_SLASHES.split(key)):
        return Decision(effect=Effect.DENY, because=f"{asked.action} on {asked.resource}: {_NO_STEPS}")
    folded = _SLASHES.sub("/", key).removeprefix("/")
    if folded == key:
        return decision
    other = decide(replace(asked, resource=replace(asked.resource, path=f"{name}/{folded}")))
    return decision if decision.effect is Effect.NONE and other.effect is not Effect.DENY else other
