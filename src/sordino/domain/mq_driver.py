"""What a region's message queue is: the words of the settings ``SORDINO_MQ`` and ``SORDINO_MQ_<REGION>``."""

from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

CMQ_PREFIX: Final = "cmq:"


@dataclass(frozen=True, slots=True)
class NoDriver:
    """``off``: the region has none."""


@dataclass(frozen=True, slots=True)
class EmbeddedDriver:
    """``embedded``: queues in our own database, read through our own CMQ API."""


@dataclass(frozen=True, slots=True)
class AmqpDriver:
    """``amqp://user:password@host:5672/vhost``, or ``amqps``: RabbitMQ."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmqDriver:
    """``cmq:https://SecretId:SecretKey@host``: a service that speaks CMQ.

    Attributes:
        endpoint: ``http(s)://host[:port]``.
    """

    endpoint: str
    secret_id: str
    secret_key: str = field(repr=False)


MqDriver: TypeAlias = NoDriver | EmbeddedDriver | AmqpDriver | CmqDriver


def parse_driver(text: str) -> MqDriver:
    """Read the value of a setting.

    Raises:
        ValueError: it is none; the message says what to write, and does not repeat it, since it may hold a password.
    """
    if text == "off":
        return NoDriver()
    if text == "embedded":
        return EmbeddedDriver()
    if text.startswith(("amqp://", "amqps://")):
        return _amqp(text)
    if text.startswith(CMQ_PREFIX):
        return _cmq(text.removeprefix(CMQ_PREFIX))
    raise ValueError(
        "write embedded, off, amqp://user:password@host:5672/vhost, or cmq:https://SecretId:SecretKey@host"
    )


def _amqp(text: str) -> AmqpDriver:
    url = _split(text)
    if url is None or "/" in url.path.strip("/"):
        raise ValueError(
            "write amqp://user:password@host:5672/vhost or amqps://..., "
            "with %40 for an @ in the password, %2F for a / and %25 for a %"
        )
    return AmqpDriver(text)


def _cmq(text: str) -> CmqDriver:
    url = _split(text)
    if url is None or url.scheme not in ("http", "https") or url.path.strip("/") or not (url.username and url.password):
        raise ValueError("write cmq:https://SecretId:SecretKey@host or cmq:http://..., without a path")
    return CmqDriver(
        endpoint=f"{url.scheme}://{url.netloc.rpartition('@')[2]}",
        secret_id=unquote(url.username),
        secret_key=unquote(url.password),
    )


def _split(text: str) -> SplitResult | None:
    """The parts of a URL with a host; None when it is none."""
    try:
        url = urlsplit(text)
        legal = url.port != 0 and bool(url.hostname) and not url.fragment
    except ValueError:  # a port or an IPv6 address that is none
        return None
    return url if legal and text.isascii() and text.isprintable() and " " not in text else None
