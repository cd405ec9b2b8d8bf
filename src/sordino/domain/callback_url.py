"""Which URLs a callback may go to: what can be told of a URL without asking DNS, and what of an address it leads to.

Whoever may submit a job chooses the URL, and this server connects to it from inside its network: without these rules it
would carry requests to where the caller cannot go (server-side request forgery).
"""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from sordino.domain.addresses import Address, Network, closed, inside, parse_address, parse_network

MAX_URL: Final = 1024
"""Characters of a URL."""

PORTS: Final = {"http": 80, "https": 443}
"""The schemes there are, with the port of each."""

FIRST_FREE_PORT: Final = 1024
OTHER_PORTS: Final = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080}
)
"""Ports above 1023 of other protocols, which browsers refuse, too (the Fetch standard's list of bad ports)."""

_PRINTABLE: Final = re.compile(r"[!-~]+")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
# An old spelling of an IPv4 address ends so (127.1, 0x7f000001), and a name never does.
_NUMBER: Final = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What is allowed in spite of the rules: networks, hosts, and endings of hosts, each of which begins with a dot."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a comma list such as ``10.0.0.0/8, hooks.internal, .corp.example``.

        Raises:
            ValueError: an entry is none of the three; the message names it.
        """
        words = [word for word in map(str.strip, text.lower().split(",")) if word]
        networks = {word: network for word in words if (network := parse_network(word)) is not None}
        names = [word for word in words if word not in networks]
        for name in names:
            if _NAME.fullmatch(name.removeprefix(".")) is None or _NUMBER.fullmatch(name):
                raise ValueError(f"{name!r} is neither a network (10.0.0.0/8) nor a host nor the end of one (.example)")
        return cls(
            networks=tuple(networks.values()),
            hosts=frozenset(name for name in names if not name.startswith(".")),
            suffixes=tuple(name for name in names if name.startswith(".")),
        )

    def host(self, host: str) -> bool:
        """Whether a host may have any address."""
        return host in self.hosts or host.endswith(self.suffixes)

    def address(self, address: Address) -> bool:
        """Whether an address is allowed whatever it is."""
        return inside(address, self.networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackUrl:
    """A URL that passed the rules, taken apart.

    Attributes:
        host: lower-case name without a dot at its end, or address without brackets.
        target: path and query.
    """

    scheme: str
    host: str
    port: int
    target: str


class CallbackUrlError(ValueError):
    """The URL may not be called; the message says why, as the end of "the URL ...", and what to do."""


def parse_callback_url(text: str, allowed: Allowed) -> CallbackUrl:
    """Check a URL without asking DNS.

    Raises:
        CallbackUrlError: it may not be called.
    """
    url = split_callback_url(text)
    _check_port(url.port)
    _check_host(url.host, allowed)
    return url


def split_callback_url(text: str) -> CallbackUrl:
    """Take a URL apart, wherever it leads.

    Raises:
        CallbackUrlError: it is no URL that could be called anywhere.
    """
    if len(text) > MAX_URL or _PRINTABLE.fullmatch(text) is None:
        raise CallbackUrlError(f"must be 1 to {MAX_URL} printable ASCII characters without spaces; percent-encode it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise CallbackUrlError("is malformed; write http://host/path or https://host/path") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise CallbackUrlError("must begin with http://host or https://host")
    if "@" in parts.netloc or "\\" in text:
        raise CallbackUrlError("must hold no user name, no password and no backslash")
    if "[" in parts.netloc and parse_address(parts.hostname) is None:
        raise CallbackUrlError("has something between brackets that is no IPv6 address")
    return CallbackUrl(
        scheme=parts.scheme,
        host=parts.hostname.removesuffix("."),
        port=PORTS[parts.scheme] if port is None else port,
        target=f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
    )


def refused_address(host: str, address: Address, allowed: Allowed) -> str | None:
    """Why ``host`` may not be called at ``address``; None when it may."""
    what = closed(address)
    if what is None or allowed.host(host) or allowed.address(address):
        return None
    # Which address of our network a name has is nothing that its caller may learn here.
    where = "" if parse_address(host) is None else f"{address}, which is "
    return f"leads to {where}no address of the internet ({what})"


def _check_port(port: int) -> None:
    if port not in PORTS.values() and (port < FIRST_FREE_PORT or port in OTHER_PORTS):
        raise CallbackUrlError(f"names port {port}, which is not open to callbacks; use 80, 443 or one above 1023")


def _check_host(host: str, allowed: Allowed) -> None:
    """Of a name only the loopback's is refused here: what others lead to is known when they are called."""
    address = parse_address(_LOOPBACK if host == "localhost" or host.endswith(".localhost") else host)
    if address is not None and "%" not in host:
        reason = refused_address(host, address, allowed)
        if reason is not None:
            raise CallbackUrlError(f"{reason}; the server's setting SORDINO_CALLBACK_ALLOW can allow it")
    elif _NAME.fullmatch(host) is None or _NUMBER.fullmatch(host):
        raise CallbackUrlError("must name its host in ASCII (Punycode), or by an address in its usual form")
