"""Whose word is taken for where a request comes from: proxies' that the operator names, and nobody else's."""

from collections.abc import Iterator

import pytest
from starlette.requests import Request

from people import Key
from policies import allow
from raw_http import send
from server import Server, new_room
from sordino.api.source import Proxies, Source
from sordino.domain.addresses import parse_networks
from support import start_service
from watching import Watchers

CLIENT = "203.0.113.7"
TRUSTED = parse_networks("127.0.0.0/8, ::1, 10.0.0.0/8, fd00::/8")


def request(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> Request:
    """A request that came over a connection from an address."""
    return Request(
        {
            "type": "http",
            "client": None if peer is None else (peer, 1234),
            "scheme": scheme,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        }
    )


def forwarded(*lines: str) -> list[tuple[str, str]]:
    """Lines of X-Forwarded-For."""
    return [("X-Forwarded-For", line) for line in lines]


class TestAddress:
    """The client's address."""

    @pytest.mark.parametrize(
        ("peer", "lines", "address"),
        [
            pytest.param("198.51.100.1", [], "198.51.100.1", id="nobody forwards"),
            pytest.param("198.51.100.1", [CLIENT], "198.51.100.1", id="a stranger claims"),
            pytest.param("127.0.0.1", [], "127.0.0.1", id="a proxy that says nothing"),
            pytest.param("127.0.0.1", [CLIENT], CLIENT, id="a proxy"),
            pytest.param("127.0.0.1", [f"{CLIENT}, 10.1.2.3"], CLIENT, id="a chain"),
            pytest.param("127.0.0.1", [CLIENT, "10.1.2.3"], CLIENT, id="a chain over two lines"),
            pytest.param("127.0.0.1", [f"8.8.8.8, {CLIENT}"], CLIENT, id="a client that claims"),
            pytest.param("127.0.0.1", ["8.8.8.8", f"{CLIENT},10.1.2.3"], CLIENT, id="a claim in another line"),
            pytest.param("127.0.0.1", [f"10.9.9.9, {CLIENT}, 10.1.2.3"], CLIENT, id="a claim to be a proxy"),
            pytest.param("127.0.0.1", ["10.1.1.1, 10.1.2.3"], "10.1.1.1", id="a client in the proxies' network"),
            pytest.param("127.0.0.1", [f"{CLIENT}:443"], CLIENT, id="with its port"),
            pytest.param("127.0.0.1", ["[2001:db8::7]:443"], "2001:db8::7", id="IPv6 with its port"),
            pytest.param("127.0.0.1", ["2001:DB8:0::7"], "2001:db8::7", id="IPv6 in another spelling"),
            pytest.param("::1", ["2001:db8::7, fd00::1"], "2001:db8::7", id="a chain of IPv6"),
            pytest.param("::ffff:127.0.0.1", [CLIENT], CLIENT, id="a proxy whose IPv4 comes in IPv6"),
            pytest.param("::ffff:198.51.100.1", [], "198.51.100.1", id="a client whose IPv4 comes in IPv6"),
            pytest.param("127.0.0.1", [f"::ffff:{CLIENT}"], CLIENT, id="the same through a proxy"),
            pytest.param("127.0.0.1", [""], "127.0.0.1", id="an empty line"),
            pytest.param("127.0.0.1", ["unknown"], "127.0.0.1", id="no address"),
            pytest.param("127.0.0.1", [f"{CLIENT}, unknown, 10.1.2.3"], "10.1.2.3", id="no address within a chain"),
            pytest.param("127.0.0.1", [f"{CLIENT}, "], "127.0.0.1", id="an empty end"),
            pytest.param("127.0.0.1", ["1.2.3.4.5"], "127.0.0.1", id="too long"),
            pytest.param("127.0.0.1", ["0x7f000001"], "127.0.0.1", id="an old spelling"),
            pytest.param("127.0.0.1", ["fe80::1%eth0"], "127.0.0.1", id="a zone"),
            pytest.param("127.0.0.1", ["[2001:db8::7"], "127.0.0.1", id="half a bracket"),
            pytest.param("127.0.0.1", ["\xff\x00"], "127.0.0.1", id="no text"),
            pytest.param("127.0.0.1", [", ".join(["10.0.0.1"] * 5000)], "10.0.0.1", id="a long chain"),
            pytest.param(None, [CLIENT], "", id="a socket without addresses"),
        ],
    )
    def test_address(self, peer: str | None, lines: list[str], address: str) -> None:
        """The last hop that is no trusted proxy, as far as trusted ones tell."""
        assert Proxies(TRUSTED).source(request(peer, *forwarded(*lines))).address == address

    @pytest.mark.parametrize(
        "header", ["Forwarded", "X-Real-IP", "X-Forwarded-Host", "Client-IP", "X_Forwarded_For", "True-Client-IP"]
    )
    def test_other_headers(self, header: str) -> None:
        """No other header tells of the client, not even a proxy's."""
        for value in (CLIENT, f"for={CLIENT}"):
            assert Proxies(TRUSTED).source(request("127.0.0.1", (header, value))).address == "127.0.0.1"

    def test_by_default_nobody_is_believed(self) -> None:
        """Without the setting the client is whoever connects."""
        assert Proxies().source(request("127.0.0.1", *forwarded(CLIENT))) == Source("127.0.0.1", secure=False)


class TestTls:
    """Whether the client spoke TLS."""

    @pytest.mark.parametrize(
        ("peer", "scheme", "protocols", "secure"),
        [
            pytest.param("198.51.100.1", "https", [], True, id="to us"),
            pytest.param("198.51.100.1", "http", [], False, id="not to us"),
            pytest.param("198.51.100.1", "http", ["https"], False, id="a stranger claims"),
            pytest.param("198.51.100.1", "https", ["http"], True, id="a stranger denies"),
            pytest.param("127.0.0.1", "http", ["https"], True, id="to a proxy"),
            pytest.param("127.0.0.1", "http", ["HTTPS"], True, id="in capitals"),
            pytest.param("127.0.0.1", "https", ["http"], False, id="to a proxy without, which has it to us"),
            pytest.param("127.0.0.1", "https", [], True, id="a proxy that says nothing"),
            pytest.param("127.0.0.1", "http", ["https, https"], True, id="through two"),
            pytest.param("127.0.0.1", "http", ["https", "http"], False, id="a claim before the proxy's word"),
            pytest.param("127.0.0.1", "http", ["https, http"], False, id="the same in a line"),
            pytest.param("127.0.0.1", "http", [""], False, id="nothing"),
            pytest.param("127.0.0.1", "http", ["wss"], False, id="something else"),
        ],
    )
    def test_secure(self, peer: str, scheme: str, protocols: list[str], secure: bool) -> None:
        """By the connection, or the word of a trusted proxy, of all that is said the worst."""
        headers = [("X-Forwarded-Proto", line) for line in protocols]
        assert Proxies(TRUSTED).source(request(peer, *headers, scheme=scheme)).secure is secure


@pytest.fixture(scope="module")
def proxied() -> Iterator[Server]:
    """A service that takes what connects to it from this machine for its proxy."""
    with new_room() as directory:
        running = start_service(directory / "data", SORDINO_TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8")
        yield running
        status = running.stop()
        assert status == 0, running.log_tail(60)


def user_of_network(people: Watchers, owner: Key) -> Key:
    """A user who may do all from one network, with TLS."""
    conditions = {"ip_equal": {"qcs:ip": "203.0.113.0/24"}, "bool_equal": {"cos:secure-transport": "true"}}
    return people.user(owner, allow("cos:*", condition=conditions))


class TestService:
    """The same in a running service."""

    def test_through_a_proxy(self, proxied: Server) -> None:
        """Conditions and the audit log go by the client of a trusted proxy."""
        people = Watchers(proxied)
        owner = people.root()
        bucket, user = people.bucket(owner), user_of_network(people, owner)
        told = []
        for client, protocol in ((CLIENT, "https"), (f"{CLIENT}, 10.0.0.9", "https"), (CLIENT, "http")):
            headers = {"X-Forwarded-For": client, "X-Forwarded-Proto": protocol}
            status, head, _ = send(proxied, "PUT", "/a", bucket=bucket, key=user, body=b"a", headers=headers)
            (entry,) = people.told(head)
            told.append((status, entry.source, entry.allowed))
        other = {"X-Forwarded-For": f"{CLIENT}, 198.51.100.9", "X-Forwarded-Proto": "https"}
        status, head, _ = send(proxied, "PUT", "/a", bucket=bucket, key=user, body=b"a", headers=other)
        told.append((status, people.told(head)[0].source, people.told(head)[0].allowed))
        assert told == [
            (200, CLIENT, True),
            (200, CLIENT, True),
            (403, CLIENT, False),
            (403, "198.51.100.9", False),
        ]

    def test_a_spoofer(self, service: Server) -> None:
        """Who is no trusted proxy may say what he likes: nothing comes of it."""
        people = Watchers(service)
        owner = people.account()
        bucket, user = people.bucket(owner), user_of_network(people, owner)
        headers = {
            "X-Forwarded-For": CLIENT,
            "X-Forwarded-Proto": "https",
            "Forwarded": f"for={CLIENT};proto=https",
            "X-Real-IP": CLIENT,
        }
        status, head, _ = send(service, "PUT", "/a", bucket=bucket, key=user, body=b"a", headers=headers)
        (entry,) = people.told(head)
        assert (status, entry.source, entry.allowed) == (403, "127.0.0.1", False)

    @pytest.mark.parametrize("which", ["service", "proxied"])
    def test_a_forwarded_host(self, which: str, request: pytest.FixtureRequest) -> None:
        """The host that counts, and that was signed, is the request's own, whoever says otherwise."""
        running: Server = request.getfixturevalue(which)
        people = Watchers(running)
        owner, other = people.account(), people.account()
        mine, theirs = people.bucket(owner), people.bucket(other)
        headers = {"X-Forwarded-Host": f"{theirs}.cos.ap-guangzhou.myqcloud.com"}
        status, head, _ = send(running, "PUT", "/a", bucket=mine, key=owner, body=b"a", headers=headers)
        (entry,) = people.told(head)
        assert status == 200
        assert entry.resource.endswith(f":{mine}/a")
