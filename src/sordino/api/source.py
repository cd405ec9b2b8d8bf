"""Where a request comes from, also behind proxies: what conditions on ``qcs:ip``, the audit log and limits go by.

Headers that tell of a client are believed of the proxies alone that the operator names: anybody can send them. Of them
``X-Forwarded-For`` and ``X-Forwarded-Proto`` are read; ``X-Forwarded-Host`` would change what was signed, and
``Forwarded`` (RFC 7239) says the same again, by which two headers might disagree: neither is read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection

from sordino.domain.addresses import Address, Network, inside, parse_address, real

FOR: Final = "x-forwarded-for"
PROTO: Final = "x-forwarded-proto"
HTTPS: Final = "https"

# An address as proxies write it: some add the port, which has IPv6 put into brackets.
_HOP: Final = re.compile(r"\[(?P<six>[^]]*)](:\d+)?|(?P<four>[\d.]+)(:\d+)?|(?P<bare>.*)")


@dataclass(frozen=True, slots=True)
class Source:
    """A client.

    Attributes:
        address: in its usual form, IPv4 where IPv6 only carries it; empty: it has none, as on a Unix socket.
        secure: whether it speaks TLS, to us or to the proxy that it reached first.
    """

    address: str
    secure: bool


@dataclass(frozen=True, slots=True)
class Proxies:
    """Those whose word is taken."""

    trusted: tuple[Network, ...] = ()

    def source(self, request: HTTPConnection) -> Source:
        """The client of a request."""
        peer = parse_address(request.client.host) if request.client else None
        encrypted = request.scope.get("scheme") == HTTPS
        if peer is None or not inside(peer, self.trusted):
            return Source("" if peer is None else str(real(peer)), encrypted)
        return Source(
            str(real(self._client(peer, _values(request, FOR)))), _all_secure(_values(request, PROTO), encrypted)
        )

    def _client(self, peer: Address, hops: Sequence[str]) -> Address:
        """The last hop that is none of ours; each proxy adds whom it was reached by, so those before may be invented.

        What is no address ends it: the proxy that passed it on is all that is known.
        """
        known = peer
        for hop in reversed(hops):
            address = _hop(hop)
            if address is None:
                return known
            known = address
            if not inside(address, self.trusted):
                return known
        return known


def _all_secure(protocols: Sequence[str], encrypted: bool) -> bool:  # noqa: FBT001 - as it was connected
    """Whether each proxy that tells how it was reached says by TLS: the first word may be the client's own."""
    return all(protocol.lower() == HTTPS for protocol in protocols) if protocols else encrypted


def _values(request: HTTPConnection, name: str) -> Sequence[str]:
    """The members of a header that is a list, over all its lines, in order."""
    return [value.strip() for line in request.headers.getlist(name) for value in line.split(",")]


def _hop(text: str) -> Address | None:
    match = _HOP.fullmatch(text)
    address = parse_address(match["six"] or match["four"] or match["bare"] or "") if match else None
    return None if address is None or "%" in str(address) else address
