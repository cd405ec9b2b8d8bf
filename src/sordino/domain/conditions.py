"""Conditions of policies: operators that compare what a statement wants with what is known of a request.

A key that is absent of a request fulfils no operator but ``null_equal`` and those that end in ``_if_exist``. Values of
a key are alternatives: one of them must fit, and of the operators with ``not`` none. A value of a *request* that an
operator cannot read leaves the condition in doubt, and doubt never opens anything: an allow takes it for unfulfilled, a
deny for fulfilled. A value of a *policy* that cannot be read is refused when the policy is written.

https://cloud.tencent.com/document/product/598/10608 ("Conditions"); COS: document 436/71306 ("Condition keys")
"""

import binascii
import operator
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote

from sordino.domain.patterns import Pattern

Context = Mapping[str, tuple[str, ...]]
"""What is known of a request: values by key, in lower case; keys of which nothing is known are absent."""

EXTERNAL_ID: Final = "sts:external_id"

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "qcs:ip": "address of the client",
        "qcs:current_time": "when the request came, ISO 8601, UTC",
        "qcs:uin": "number of the user, or of the account's root",
        "qcs:owner_uin": "number of the caller's account's root",
        EXTERNAL_ID: "`ExternalId` of `AssumeRole`",
        "ci:region": "region of the bucket",
        "cos:region": "region of the bucket",
        "cmqqueue:region": "region of the queue",
        "cmqtopic:region": "region of the topic",
        "cos:secure-transport": "`true` of requests by TLS, else `false`",
        "cos:prefix": "parameter of a list",
        "cos:delimiter": "parameter of a list",
        "cos:max-keys": "parameter of a list",
        "cos:content-type": "header",
        "cos:content-length": "header; a body in chunks has an unknown one, which fulfils no allow and every deny",
        "cos:x-cos-acl": "header",
        "cos:x-cos-storage-class": "header",
        "cos:x-cos-forbid-overwrite": "header",
        "cos:x-cos-copy-source": "header; also as `<bucket>.cos.<region>.myqcloud.com/<key>`, however it is written",
        "cos:response-content-type": "parameter of a download",
    }
)
"""Every key that requests may have; a policy that names another is refused, for it would never apply."""

_Value = TypeVar("_Value")

IF_EXIST: Final = "_if_exist"
QUANTIFIERS: Final[Mapping[str, Callable[[Iterable[bool]], bool]]] = MappingProxyType(
    {"for_all_value:": all, "for_any_value:": any}
)
NULL_EQUAL: Final = "null_equal"


class ConditionError(ValueError):
    """It is no condition; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """How one operator compares.

    Attributes:
        wanted: reads a value of a policy; ValueError: it cannot be read.
        asked: reads a value of a request; ValueError: it cannot be read.
        fits: whether a value of a request fits one of a policy.
        negative: whether the condition holds of values that fit none, rather than of those that fit one.
    """

    wanted: Callable[[str], Any]
    asked: Callable[[str], Any]
    fits: Callable[[Any, Any], bool]
    negative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One key of one operator.

    Attributes:
        key: in lower case.
        operator: None: whether there is the key at all is compared.
        quantify: how the values of a request count together.
        wanted: what the operator read of the policy's values; of no operator whether the key must be absent.
        if_absent: whether it holds without the key.
    """

    key: str
    operator: Operator | None
    quantify: Callable[[Iterable[bool]], bool]
    wanted: tuple[Any, ...]
    if_absent: bool

    def holds(self, context: Context, *, in_doubt: bool) -> bool:
        """Whether a request fulfils it.

        Args:
            context: what is known of the request.
            in_doubt: the answer if the request has a value that cannot be read.
        """
        values = context.get(self.key)
        if self.operator is None:
            return (not values) in self.wanted
        if not values:
            return self.if_absent
        how = self.operator
        try:
            asked = [how.asked(value) for value in values]
        except ValueError:
            return in_doubt
        return self.quantify(any(how.fits(one, wanted) for wanted in self.wanted) != how.negative for one in asked)


def parse_condition(name: str, key: str, values: Sequence[str]) -> Condition:
    """Read one key of one operator of a statement.

    Args:
        name: of the operator, with what stands before and behind it, in any case.
        key: in any case.
        values: one at least.

    Raises:
        ConditionError: there is no such operator or key, or a value is none of the operator's.
    """
    lower = name.lower()
    quantifier = next((prefix for prefix in QUANTIFIERS if lower.startswith(prefix)), None)
    base = lower.removeprefix(quantifier or "")
    if_exist = base.endswith(IF_EXIST)
    base = base.removesuffix(IF_EXIST)
    if key.lower() not in KEYS:
        raise ConditionError(f"key {key!r} is not known here, so it would never apply; use one of {', '.join(KEYS)}")
    if not values:
        raise ConditionError(f"key {key!r} has no value; write one at least")
    if base == NULL_EQUAL and (if_exist or quantifier):
        raise ConditionError(f"{NULL_EQUAL} asks for the key itself and takes nothing before or behind it")
    if base != NULL_EQUAL and base not in OPERATORS:
        raise ConditionError(f"there is no such operator; use one of {', '.join([*OPERATORS, NULL_EQUAL])}")
    how = OPERATORS.get(base)
    return Condition(
        key=key.lower(),
        operator=how,
        quantify=QUANTIFIERS[quantifier] if quantifier else all if how and how.negative else any,
        wanted=tuple(_wanted(how.wanted if how else _boolean, key.lower(), value) for value in values),
        if_absent=if_exist,
    )


def _wanted(read: Callable[[str], _Value], key: str, value: str) -> _Value:
    # COS documents values of headers and parameters as they stand in URLs.
    text = unquote(value) if key.startswith("cos:") else value
    try:
        return read(text)
    except ValueError as error:
        raise ConditionError(f"value {value[:100]!r} of key {key!r} {error}") from None


def _decimal(text: str) -> Decimal:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("is no number; write at most 30 digits, and 30 behind a point")
    return Decimal(text)


def _moment(text: str) -> datetime:
    try:
        if _MOMENT.fullmatch(text) is None:
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no time; write it as 2026-11-24T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("is neither true nor false")
    return _BOOLEANS[text.lower()]


def _binary(text: str) -> bytes:
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("is no base64") from None


class _Network(NamedTuple):
    """A network as numbers, of which a policy may hold hundreds.

    Attributes:
        version: 4 or 6.
        number: its address without the bits of hosts.
        host_bits: how many these are.
    """

    version: int
    number: int
    host_bits: int


# A client asks more than once.
@lru_cache(maxsize=1024)
def _address(text: str) -> _Network:
    address = ip_address(text)
    return _as_numbers(address.version, int(address), 0)


def _network(text: str) -> _Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is no address and no network; write 10.0.0.1 or 10.0.0.0/8") from None
    return _as_numbers(network.version, int(network.network_address), network.max_prefixlen - network.prefixlen)


def _as_numbers(version: int, number: int, host_bits: int) -> _Network:
    """IPv4 that is mapped into IPv6 is IPv4."""
    if version == 6 and number >> _V4_BITS == _MAPPED:
        return _Network(4, (number & _V4) >> host_bits, host_bits)
    return _Network(version, number >> host_bits, host_bits)


def _inside(asked: _Network, wanted: _Network) -> bool:
    return asked.version == wanted.version and asked.number >> wanted.host_bits == wanted.number


_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_BOOLEANS: Final = MappingProxyType({"true": True, "false": False})
_MAPPED: Final = 0xFFFF
_V4_BITS: Final = 32
_V4: Final = 0xFFFF_FFFF


def _same(read: Callable[[str], Any], fits: Callable[[Any, Any], bool], *, negative: bool = False) -> Operator:
    return Operator(wanted=read, asked=read, fits=fits, negative=negative)


def _of_like(*, negative: bool) -> Operator:
    return Operator(wanted=Pattern.of, asked=str, fits=lambda asked, wanted: wanted.covers(asked), negative=negative)


def _of_address(*, negative: bool) -> Operator:
    return Operator(wanted=_network, asked=_address, fits=_inside, negative=negative)


def _of_order(name: str, read: Callable[[str], Any]) -> dict[str, Operator]:
    return {
        f"{name}_equal": _same(read, operator.eq),
        f"{name}_not_equal": _same(read, operator.eq, negative=True),
        f"{name}_greater_than": _same(read, operator.gt),
        f"{name}_greater_than_equal": _same(read, operator.ge),
        f"{name}_less_than": _same(read, operator.lt),
        f"{name}_less_than_equal": _same(read, operator.le),
    }


OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType(
    {
        "string_equal": _same(str, operator.eq),
        "string_not_equal": _same(str, operator.eq, negative=True),
        "string_equal_ignore_case": _same(str.casefold, operator.eq),
        "string_not_equal_ignore_case": _same(str.casefold, operator.eq, negative=True),
        "string_like": _of_like(negative=False),
        "string_not_like": _of_like(negative=True),
        "ip_equal": _of_address(negative=False),
        "ip_not_equal": _of_address(negative=True),
        **_of_order("numeric", _decimal),
        **_of_order("date", _moment),
        "bool_equal": _same(_boolean, operator.eq),
        "binary_equal": _same(_binary, operator.eq),
    }
)
"""Every operator but ``null_equal``."""
