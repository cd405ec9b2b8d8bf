"""Policies in the language of CAM, read into what can be evaluated.

A document is an object of ``version`` (``2.0``) and ``statement``, one or a list of objects of ``effect``, ``action``,
``resource``, ``condition`` and, in policies of buckets and roles, ``principal``. Names of elements and effects count in
any case, for COS's own examples write them so; everything that is not known is refused with its place.

https://cloud.tencent.com/document/product/598/10603, 598/10604 (CAM), 436/12469 (COS)
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Self

from sordino.domain.conditions import Condition, ConditionError, Context, parse_condition
from sordino.domain.patterns import STAR, Pattern, PatternError, ResourcePattern
from sordino.domain.principal import Principal, PrincipalError, PrincipalKind
from sordino.domain.resource import Owner, Resource

VERSION: Final = "2.0"
MAX_STATEMENTS: Final = 200
MAX_TEXT: Final = 65_536
"""Characters of a document with its white space."""

CACHED: Final = 512
"""Documents that are kept read, of each process; a thousand characters of one take 6 to 20 kilobytes."""


class PolicyKind(StrEnum):
    """What a policy belongs to."""

    IDENTITY = "identity"
    TRUST = "trust"
    BUCKET = "bucket"


MAX_CHARACTERS: Final[Mapping[PolicyKind, int]] = MappingProxyType(
    {PolicyKind.IDENTITY: 6144, PolicyKind.TRUST: 6144, PolicyKind.BUCKET: 20_480}
)
"""Characters of a document without its white space."""


class PolicyError(ValueError):
    """It is no policy; the message says where, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Actions:
    """What may be done.

    Attributes:
        names: ``<service>:<name>`` in lower case, without stars.
        patterns: in lower case.
    """

    names: frozenset[str]
    patterns: tuple[Pattern, ...]

    @classmethod
    def of(cls, texts: tuple[str, ...]) -> Self:
        """Take apart what stands in a policy."""
        lower = [text.lower().removeprefix(_NAME) for text in texts]
        return cls(
            frozenset(text for text in lower if STAR not in text),
            tuple(Pattern.of(text) for text in lower if STAR in text),
        )

    def cover(self, action: str) -> bool:
        """Whether an action, in lower case, is one of these."""
        return action in self.names or bool(self.patterns and any(pattern.covers(action) for pattern in self.patterns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement.

    Attributes:
        number: its place in the policy, from 1.
        denies: whether it denies rather than allows.
        principals: whom it is about; empty in policies of users, groups and roles, which say so by where they are.
        actions: what may be done.
        resources: with what; None: with everything.
        conditions: all of which must hold.
    """

    number: int
    denies: bool
    principals: tuple[Principal, ...]
    actions: Actions
    resources: tuple[ResourcePattern, ...] | None
    conditions: tuple[Condition, ...]

    def applies(self, action: str, resource: Resource, paths: tuple[str, ...], own: Owner, context: Context) -> bool:
        """Whether it is about a call, whoever calls.

        Args:
            action: in lower case.
            resource: what the call is about.
            paths: of the resource, of ``patterns.forms``.
            own: the account that the policy belongs to.
            context: what is known of the request.
        """
        return (
            self.actions.cover(action)
            and (self.resources is None or any(one.covers(resource, paths, own) for one in self.resources))
            and all(condition.holds(context, in_doubt=self.denies) for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read.

    Attributes:
        varies: whether it may hold variables, so that it must be read for each caller.
    """

    statements: tuple[Statement, ...]
    varies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """What stands for ``${uin}``, ``${owner_uin}`` and ``${app_id}`` in resources and in values of conditions.

    https://cloud.tencent.com/document/product/598/10607

    Attributes:
        uin: of the user or root; of a role, which has none, ``role/<name>``.
        owner_uin: of his account's root.
        app_id: of his account.
    """

    uin: str = "0"
    owner_uin: str = "0"
    app_id: str = "0"


NOBODY: Final = Variables()
"""Stands in for a caller where a policy is only checked."""


@lru_cache(maxsize=CACHED)
def parse_policy(text: str, kind: PolicyKind, variables: Variables = NOBODY) -> Policy:
    """Read a document; the last ones are kept, so that asking again costs nothing.

    Args:
        text: JSON.
        kind: what it belongs to; only policies of identities hold variables.
        variables: their values.

    Raises:
        PolicyError: it is no policy of that kind.
    """
    _check_size(text, kind)
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant
        )
    except PolicyError:
        raise
    except RecursionError:
        raise PolicyError("the policy is nested too deeply; a policy has five levels at most") from None
    except ValueError as error:
        raise PolicyError(f"the policy is no JSON ({error}); comments are not allowed either") from None
    elements = _elements(document, "the policy", _OF_POLICY)
    version = elements.get("version", VERSION)
    if type(version) is not str or version != VERSION:
        raise PolicyError(f'version must be "{VERSION}", as a string')
    if "statement" not in elements:
        raise PolicyError("the policy has no statement; write one object or a list of them")
    shared = {name: value for name, value in elements.items() if name == "principal"}
    statements = _list(elements["statement"])
    if not 0 < len(statements) <= MAX_STATEMENTS:
        raise PolicyError(f"the policy has {len(statements)} statements; write 1 to {MAX_STATEMENTS}")
    filled = variables if kind is PolicyKind.IDENTITY else None
    return Policy(
        tuple(_statement({**shared, **one}, number, kind, filled) for number, one in _numbered(statements)),
        # JSON can hide the sign behind an escape.
        varies=filled is not None and ("${" in text or "\\u" in text),
    )


class _Number(str):
    """A number of JSON, as it is written: none may be so large that reading it costs."""

    __slots__ = ()


_NAME: Final = "name/"
_OF_POLICY: Final = frozenset({"version", "statement", "principal"})
_OF_STATEMENT: Final = frozenset({"sid", "effect", "principal", "action", "resource", "condition"})
_LEFT_OUT: Final = MappingProxyType(
    {
        "notaction": "name the actions in action, or deny them",
        "notresource": "name the resources in resource, or deny them",
        "notprincipal": "name the principals in principal, or deny them",
    }
)
_VARIABLE: Final = re.compile(r"\$\{(uin|owner_uin|app_id)\}")
_EFFECTS: Final = MappingProxyType({"allow": False, "deny": True})


def _check_size(text: str, kind: PolicyKind) -> None:
    most = MAX_CHARACTERS[kind]
    if len(text) > MAX_TEXT or len("".join(text.split())) > most:
        raise PolicyError(f"the policy is too long; write at most {most} characters, white space not counted")


def _refuse_constant(text: str) -> str:
    raise PolicyError(f"the policy holds {text}, which is no JSON")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise PolicyError(f"{name[:100]!r} stands twice in one object; write it once, with a list of values")
        found[name] = value
    return found


def _elements(value: object, where: str, known: frozenset[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} must be an object")
    found: dict[str, object] = {}
    for name, element in value.items():
        lower = name.lower()
        if lower in found:
            raise PolicyError(f"{where} has {lower!r} twice")
        if lower not in known:
            advice = _LEFT_OUT.get(lower.replace("_", ""), f"elements are {', '.join(sorted(known))}")
            raise PolicyError(f"{where} has an element {name[:100]!r}, which is not known; {advice}")
        found[lower] = element
    return found


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _numbered(statements: list[object]) -> Iterator[tuple[int, dict[str, object]]]:
    for number, statement in enumerate(statements, start=1):
        yield number, _elements(statement, f"statement {number}", _OF_STATEMENT)


def _texts(value: object, where: str, variables: Variables | None = None) -> tuple[str, ...]:
    values = _list(value)
    for one in values:
        if type(one) is not str:
            raise PolicyError(f"{where} must be a string or a list of strings")
        if not one or not one.isprintable():
            raise PolicyError(f"{where} holds {one[:100]!r}, which is empty or not printable")
    if not values:
        raise PolicyError(f"{where} is empty; name one at least")
    return tuple(_filled(str(one), where, variables) for one in values)


def _filled(text: str, where: str, variables: Variables | None) -> str:
    filled = text if variables is None else _VARIABLE.sub(lambda found: str(getattr(variables, found[1])), text)
    if "${" in filled:
        raise PolicyError(
            f"{where} holds a variable in {text[:100]!r}; policies of users, groups, roles and sessions may have "
            "${uin}, ${owner_uin} and ${app_id} in resources and in values of conditions, and no other"
        )
    return filled


def _statement(elements: Mapping[str, object], number: int, kind: PolicyKind, variables: Variables | None) -> Statement:
    where = f"statement {number}"
    effect = elements.get("effect")
    if not isinstance(effect, str) or effect.lower() not in _EFFECTS:
        raise PolicyError(f"{where}: effect must be allow or deny")
    if "action" not in elements:
        raise PolicyError(f"{where} has no action; name one, such as cos:GetObject")
    if type(elements.get("sid", "")) is not str:
        raise PolicyError(f"{where}: sid must be a string")
    return Statement(
        number=number,
        denies=_EFFECTS[effect.lower()],
        principals=_principals(elements.get("principal"), where, kind),
        actions=_actions(elements["action"], where),
        resources=_resources(elements.get("resource"), where, kind, variables),
        conditions=tuple(_conditions(elements.get("condition"), where, variables)),
    )


def _actions(value: object, where: str) -> Actions:
    texts = _texts(value, f"{where}, action")
    for text in texts:
        bare = text.lower().removeprefix(_NAME)
        if bare != STAR and not all(bare.partition(":")[::2]):
            raise PolicyError(f"{where}, action {text[:100]!r}: write <service>:<name>, such as cos:GetObject, or *")
    return Actions.of(texts)


def _resources(
    value: object, where: str, kind: PolicyKind, variables: Variables | None
) -> tuple[ResourcePattern, ...] | None:
    if kind is PolicyKind.TRUST:
        if value is not None:
            raise PolicyError(f"{where}: a role's trust names no resource, for it is about the role; leave it out")
        return None
    if value is None:
        raise PolicyError(f"{where} has no resource; name one, or * for all")
    try:
        patterns = [ResourcePattern.parse(text) for text in _texts(value, f"{where}, resource", variables)]
    except PatternError as error:
        raise PolicyError(f"{where}, resource: {error}") from None
    return None if None in patterns else tuple(pattern for pattern in patterns if pattern is not None)


def _principals(value: object, where: str, kind: PolicyKind) -> tuple[Principal, ...]:
    if kind is PolicyKind.IDENTITY:
        # The official STS clients write it into the policies of sessions, where it says nothing.
        if value not in (None, STAR, {"qcs": STAR}, {"qcs": [STAR]}):
            raise PolicyError(f"{where}: principal belongs in policies of buckets and roles only; leave it out")
        return ()
    if value is None:
        raise PolicyError(f'{where} has no principal; write {{"qcs": ["qcs::cam::uin/<uin>:root"]}}')
    lists = {"qcs": value} if value == STAR else _elements(value, f"{where}, principal", _LISTS[kind])
    if not lists:
        raise PolicyError(f"{where}: principal is empty; name one at least")
    found = [
        _READERS[name](text, where) for name, texts in lists.items() for text in _texts(texts, f"{where}, principal")
    ]
    if kind is PolicyKind.TRUST and any(one.kind is PrincipalKind.ANYONE for one in found):
        raise PolicyError(f"{where}: a role cannot be open to everybody; name the accounts, users or services")
    return tuple(found)


def _principal(text: str, where: str) -> Principal:
    try:
        return Principal.parse(text)
    except PrincipalError as error:
        raise PolicyError(f"{where}, principal {error}") from None


def _service(text: str, where: str) -> Principal:
    if STAR in text:
        raise PolicyError(f"{where}, principal: name the service, such as ci.qcloud.com")
    return Principal(PrincipalKind.SERVICE, name=text)


_READERS: Final[Mapping[str, Callable[[str, str], Principal]]] = MappingProxyType(
    {"qcs": _principal, "service": _service}
)
_LISTS: Final = {PolicyKind.BUCKET: frozenset({"qcs"}), PolicyKind.TRUST: frozenset(_READERS)}


def _conditions(value: object, where: str, variables: Variables | None) -> Iterator[Condition]:
    if value in (None, {}):
        return
    for name, keys in _named(value, f"{where}, condition"):
        place = f"{where}, condition, operator {name[:100]!r}"
        for key, values in _named(keys, place):
            try:
                yield parse_condition(name, key, _values(values, f"{place}, key {key[:100]!r}", variables))
            except ConditionError as error:
                raise PolicyError(f"{place}: {error}") from None


def _named(value: object, where: str) -> list[tuple[str, object]]:
    if not isinstance(value, dict) or not value:
        raise PolicyError(f"{where} must be an object that is not empty")
    return list(value.items())


def _values(value: object, where: str, variables: Variables | None) -> tuple[str, ...]:
    """Values as strings: ``true`` and ``5`` may be written without quotes."""
    words = [{True: "true", False: "false"}[one] if isinstance(one, bool) else one for one in _list(value)]
    return _texts([str(one) if isinstance(one, _Number) else one for one in words], where, variables)
