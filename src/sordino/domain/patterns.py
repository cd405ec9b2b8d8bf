"""Patterns of policies: texts with stars, and resources in six segments whose last parts are such texts.

A policy is written by whoever may write one, so a pattern must cost no more than its length and that of the text: only
``*`` is special, each stands for any characters, also none and also ``/``, and no regular expression is made of it.

https://cloud.tencent.com/document/product/598/10606 ("Resource description")
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from sordino.domain.resource import ANYTHING, Owner, Resource

STAR: Final = "*"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text in which each ``*`` stands for any characters; the rest counts with case.

    Attributes:
        pieces: what stands between the stars: one more than there are of them.
    """

    pieces: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """The pattern that is written so."""
        return cls(tuple(text.split(STAR)))

    def covers(self, text: str) -> bool:
        """Whether the text is of this form; each piece is looked for once, from where the last one ended."""
        head, tail = self.pieces[0], self.pieces[-1]
        if len(self.pieces) == 1:
            return text == head
        if len(text) < len(head) + len(tail) or not (text.startswith(head) and text.endswith(tail)):
            return False
        at, end = len(head), len(text) - len(tail)
        for piece in self.pieces[1:-1]:
            # The first place is as good as any later one: what follows it has the more room.
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


class PatternError(ValueError):
    """It is no pattern of a resource; the message says why, as the end of "the resource ..."."""


@dataclass(frozen=True, slots=True)
class ResourcePattern:
    """Which resources a statement is about.

    Attributes:
        service: e.g. ``cos``.
        region: of the bucket or queue.
        account: ``uin/<uin>`` or ``uid/<APPID>``; None: the account that the policy belongs to.
        path: the last segment.
    """

    service: Pattern
    region: Pattern
    account: Pattern | None
    path: Pattern

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read six segments; None of ``*``, which is everything.

        Raises:
            PatternError: it is neither.
        """
        if text == ANYTHING:
            return None
        segments = text.split(":", _SEGMENTS - 1)
        if len(segments) != _SEGMENTS or segments[0] != "qcs":
            raise PatternError(f"{text!r} has not six segments; write qcs::<service>:<region>:<account>:<resource>")
        _, project, service, region, account, path = segments
        if project not in _NO_PROJECT:
            raise PatternError(f"{text!r} names a project; leave the second segment empty")
        if not service or not path:
            raise PatternError(f"{text!r} must name a service and a resource; write * for all")
        if _ACCOUNT.fullmatch(account) is None:
            raise PatternError(f"{text!r} must name its account as uin/<uin> or uid/<APPID>, or leave it empty")
        if path.startswith(_LEGACY):
            account, path = _modern(text, account, path)
        own = None if not account else _shared(account)
        return cls(_shared(service.lower()), _shared(region or STAR), own, Pattern.of(path))

    def covers(self, resource: Resource, paths: tuple[str, ...], own: Owner) -> bool:
        """Whether a resource is one of these.

        Args:
            resource: what a call is about.
            paths: the forms in which its last segment may be written, of ``forms``.
            own: the account that the policy belongs to.
        """
        named = any(self.path.covers(path) for path in paths) if paths else self.path == _ANY
        return (
            named
            and self.service.covers(resource.service)
            and self.region.covers(resource.region)
            and self.is_of(resource.owner, own)
        )

    def is_of(self, owner: Owner, own: Owner) -> bool:
        """Whether it names an account.

        Args:
            owner: that account.
            own: the one that the policy belongs to.
        """
        if self.account is None:
            return owner == own
        return self.account.covers(f"uid/{owner.appid}") or self.account.covers(f"uin/{owner.uin}")


def forms(resource: Resource) -> tuple[str, ...]:
    """How the last segment of a resource may be written; empty: it is about nothing that has a name.

    A COS bucket is written with a slash at its end or without.
    """
    path = resource.path
    if path is None:
        return ()
    if resource.service == "cos" and path.find("/") == len(path) - 1:
        return (path, path[:-1])
    return (path,)


# The same few services, regions and accounts stand in most statements.
_shared = lru_cache(maxsize=1024)(Pattern.of)
_ANY: Final = Pattern.of(STAR)
_SEGMENTS: Final = 6
# What the second segment once held where there was no project.
_NO_PROJECT: Final = frozenset({"", "0", "id/0"})
_ACCOUNT: Final = re.compile(r"(?:(?:uin|uid)/[0-9*]+|\*)?")
_LEGACY: Final = "prefix//"
_APPID: Final = re.compile(r"[0-9]+")


def _modern(text: str, account: str, path: str) -> tuple[str, str]:
    """Account and path of what was once written ``prefix//<APPID>/<bucket without APPID>/<key>``."""
    appid, _, rest = path.removeprefix(_LEGACY).partition("/")
    if _APPID.fullmatch(appid) is None or account not in {"", f"uid/{appid}"}:
        raise PatternError(f"{text!r} names two accounts, or none; write uid/<APPID>:prefix//<APPID>/<bucket>/<key>")
    bucket, slash, key = rest.partition("/")
    if not slash and (not bucket or bucket.endswith(STAR)):
        return f"uid/{appid}", bucket or STAR
    return f"uid/{appid}", f"{bucket}-{appid}{slash}{key}"
