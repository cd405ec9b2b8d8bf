"""Which addresses are the internet's, and which lead into networks that callers from outside must not reach.

Python's own ``is_global`` is not asked: depending on the release it takes NAT64, 6to4, multicast and IPv4 addresses
that are hidden in IPv6 for global. The tables follow the special-purpose registries of the IANA (RFC 6890).
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_CLOSED_V4: Final[Mapping[IPv4Network, str]] = MappingProxyType(
    {
        IPv4Network(network): what
        for network, what in {
            "0.0.0.0/8": "this host",
            "10.0.0.0/8": "private",
            "100.64.0.0/10": "carrier-grade NAT",
            "127.0.0.0/8": "loopback",
            "168.63.129.16/32": "Azure's host agent",
            "169.254.0.0/16": "link-local",
            "172.16.0.0/12": "private",
            "192.0.0.0/24": "reserved for protocols",
            "192.0.2.0/24": "for documentation",
            "192.88.99.0/24": "6to4 relays",
            "192.168.0.0/16": "private",
            "198.18.0.0/15": "for benchmarks",
            "198.51.100.0/24": "for documentation",
            "203.0.113.0/24": "for documentation",
            "224.0.0.0/4": "multicast",
            "240.0.0.0/4": "reserved",
        }.items()
    }
)
# Whatever is outside of 2000::/3 is closed, too.
_CLOSED_V6: Final[Mapping[IPv6Network, str]] = MappingProxyType(
    {
        IPv6Network(network): what
        for network, what in {
            "::/128": "unspecified",
            "::1/128": "loopback",
            "::/96": "an IPv4-compatible address",
            "64:ff9b:1::/48": "local NAT64",
            "100::/64": "discarded",
            "2001::/32": "Teredo",
            "2001:db8::/32": "for documentation",
            "2001::/23": "reserved for protocols",
            "2002::/16": "6to4",
            "3fff::/20": "for documentation",
            "5f00::/16": "segment routing",
            "fc00::/7": "private",
            "fe80::/10": "link-local",
            "fec0::/10": "private",
            "ff00::/8": "multicast",
        }.items()
    }
)
_UNICAST_V6: Final = IPv6Network("2000::/3")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """The address that is written so, IPv6 without brackets; None for anything else."""
    # Remembered: every request asks for its client's.
    try:
        return ip_address(text)
    except ValueError:
        return None


def parse_network(text: str) -> Network | None:
    """The network, or the network of one address, that is written so; None for anything else."""
    try:
        return ip_network(text)
    except ValueError:
        return None


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read a comma list such as ``10.0.0.0/8, 2001:db8::1``; an empty one has none.

    Raises:
        ValueError: an entry is neither a network nor an address; the message names it.
    """
    words = [word for word in map(str.strip, text.split(",")) if word]
    networks = {word: parse_network(word) for word in words}
    for word, network in networks.items():
        if network is None:
            raise ValueError(f"{word!r} is neither a network (10.0.0.0/8) nor an address")
    return tuple(network for network in networks.values() if network is not None)


def real(address: Address) -> Address:
    """Where packets to it really go: IPv4 for the addresses that only carry one through IPv6 (mapped, NAT64)."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def closed(address: Address) -> str | None:
    """Why the address is not the internet's, in a few words; None when it is."""
    target = real(address)
    if isinstance(target, IPv4Address):
        return next((what for network, what in _CLOSED_V4.items() if target in network), None)
    special = next((what for network, what in _CLOSED_V6.items() if target in network), None)
    return special or (None if target in _UNICAST_V6 else "not assigned")


def inside(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether the address, or the one that packets to it really go to, lies in one of ``networks``."""
    return any(candidate in network for candidate in _names(address) for network in networks)


def _names(address: Address) -> Iterator[Address]:
    yield address
    yield real(address)
