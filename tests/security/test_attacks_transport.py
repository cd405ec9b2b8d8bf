"""Requests that two programs on their way would read differently, and headers by which a client says what it is not."""

import socket
from collections.abc import Callable

import pytest

from forgery import Signed
from people import Key, People
from policies import allow, deny
from raw_http import exchange, host_of, refusal, statuses
from server import Server

SECRET = b"top secret"


@pytest.fixture(scope="module")
def bucket(people: People, owner: Key, service: Server) -> str:
    """Its bucket, with an object ``k``."""
    name = people.bucket(owner)
    assert Signed.of(owner, name, "PUT", "/k").sent(service, body=SECRET)[0] == 200
    return name


@pytest.fixture(scope="module")
def other(people: People, owner: Key, service: Server) -> str:
    """Another bucket of it, with an object ``k``."""
    name = people.bucket(owner)
    assert Signed.of(owner, name, "PUT", "/k").sent(service, body=SECRET)[0] == 200
    return name


@pytest.fixture(scope="module")
def raw(service: Server, owner: Key, bucket: str) -> Callable[..., bytes]:
    """Sends a request for ``k``, rightly signed for its bucket, with lines that are added to its head or replaced."""

    def send(
        *lines: str, first: str | None = None, method: str = "GET", host: str | None = None, body: bytes = b""
    ) -> bytes:
        signature = Signed.of(owner, bucket, method, "/k").authorization
        head = [
            first or f"{method} /k HTTP/1.1",
            *([f"Host: {host_of(bucket)}"] if host is None else [host] if host else []),
            f"Authorization: {signature}",
            *lines,
        ]
        return exchange(service, "\r\n".join(head).encode("latin-1") + b"\r\nConnection: close\r\n\r\n" + body)

    return send


def refused(replies: bytes, status: int = 400) -> None:
    """There was one reply, a refusal, and nothing of the object."""
    assert statuses(replies) == [status], replies
    assert SECRET not in replies
    assert refusal(replies.partition(b"\r\n\r\n")[2])["Code"]


def test_the_request_itself_is_good(raw) -> None:
    """What the others change is answered as it is."""
    assert statuses(raw()) == [200]


def test_two_hosts(raw, bucket: str, other: str) -> None:
    """Which of two Hosts would count is not guessed, not even when both are the same (RFC 9112, 3.2)."""
    for first, second in ((bucket, other), (other, bucket), (bucket, bucket)):
        refused(raw(f"Host: {host_of(second)}", host=f"Host: {host_of(first)}"))
        refused(raw(f"HOST: {host_of(second)}", host=f"host: {host_of(first)}"))


def test_no_host(raw) -> None:
    """HTTP/1.1 has one, and a signature that lists it does not match without."""
    refused(raw(host=""))
    reply = raw(host="", first="GET /k HTTP/1.0")
    assert statuses(reply)[0] in (400, 403)
    assert SECRET not in reply
    reply = raw(host="Host:")
    assert statuses(reply)[0] in (400, 403)
    assert SECRET not in reply


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 6"],
        ["Content-Length: +5"],
        ["Content-Length: -1"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5 5"],
        ["Content-Length: \xb2"],
        ["Content-Length:"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: \x0bchunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding:"],
        ["Content-Length: 5", "Transfer-Encoding:"],
        ["Content-Length: 5", " folded: 6"],
        ["Content-Length\t: 5"],
        ["Content-Length: 5\x00"],
    ],
    ids=" | ".join,
)
def test_bodies_of_two_lengths(service: Server, owner: Key, bucket: str, raw, lines: list[str]) -> None:
    """What is a second request to one and the rest of a body to another is refused, and the connection ends."""
    inner = f"DELETE /k HTTP/1.1\r\nHost: {host_of(bucket)}\r\nX: "
    reply = raw(*lines, method="PUT", body=b"0\r\n\r\n" + inner.encode())
    assert len(statuses(reply)) == 1
    assert statuses(reply)[0] in (400, 411, 501)
    assert Signed.of(owner, bucket, "GET", "/k").sent(service)[2] == SECRET


@pytest.mark.parametrize(
    "size", ["5;x=\n", "0x5", "-5", "+5", "5 ", "\n5", "ffffffffffffffffffff", "5\x00", " 5", "", "5;\r", "g"], ids=repr
)
def test_chunks_of_odd_sizes(service: Server, owner: Key, bucket: str, size: str) -> None:
    """A chunk's size is read in one way, or not at all; nothing is stored of what cannot be."""
    made = Signed.of(owner, bucket, "PUT", "/chunked")
    head = f"PUT /chunked HTTP/1.1\r\nHost: {made.host}\r\nAuthorization: {made.authorization}\r\nConnection: close\r\n"
    raw = f"{head}Transfer-Encoding: chunked\r\n\r\n{size}\r\nhello\r\n0\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert statuses(reply) in ([], [400]), reply
    assert Signed.of(owner, bucket, "HEAD", "/chunked").sent(service)[0] == 404


def test_what_follows_a_refusal(service: Server, owner: Key, bucket: str) -> None:
    """Of requests in a row on one connection each is looked at for itself: no one's signature is another's."""
    made = Signed.of(owner, bucket, "GET", "/k")
    good = f"GET /k HTTP/1.1\r\nHost: {made.host}\r\nAuthorization: {made.authorization}\r\n\r\n"
    bare = f"GET /k HTTP/1.1\r\nHost: {made.host}\r\nConnection: close\r\n\r\n"
    reply = exchange(service, f"{good}{bare}".encode())
    assert statuses(reply) == [200, 403]
    assert reply.count(SECRET) == 1


@pytest.mark.parametrize(
    "line",
    [
        "x-cos-meta-a: 1\r\n x-cos-acl: public-read",
        "x-cos-meta-a: 1\r\n\tx-cos-acl: public-read",
        " x-cos-acl: public-read",
        "x-cos-acl : public-read",
        "x-cos-acl\t: public-read",
        "x cos acl: public-read",
        "x-cos-acl\x00: public-read",
        "x-cos-acl: public-read\x00",
        "x-cos-acl: public-read\x7f",
        "x-cos-acl;: public-read",
        ": public-read",
        "x-cos-acl",
        "x-cos-\xe4cl: public-read",
        "(x-cos-acl): public-read",
        "x-cos-meta-a: 1\rx-cos-acl: public-read",
    ],
    ids=repr,
)
def test_headers_that_are_none(service: Server, raw, owner: Key, bucket: str, line: str) -> None:
    """Folded lines, spaces before the colon, characters that no name has: whatever they are taken for opens nothing."""
    reply = raw(line, "Content-Length: 1", method="PUT", body=b"x")
    unsigned = exchange(service, f"GET /k HTTP/1.1\r\nHost: {host_of(bucket)}\r\nConnection: close\r\n\r\n".encode())
    again = Signed.of(owner, bucket, "PUT", "/k").sent(service, body=SECRET)[0]
    assert (statuses(reply)[:1], statuses(unsigned), again) in (([400], [403], 200), ([200], [403], 200))


@pytest.mark.parametrize(
    "name", ["x_cos_acl", "x-cos_acl", "X.cos.acl", "x--cos-acl", "xcos-acl", "x-cos-acl-", "x-cosacl"]
)
def test_names_that_look_alike(service: Server, raw, bucket: str, owner: Key, name: str) -> None:
    """What some programs take for the same name is another one here."""
    assert statuses(raw(f"{name}: public-read", "Content-Length: 10", method="PUT", body=SECRET)) in ([200], [501])
    assert Signed.of(owner, bucket, "GET", "/k", query=(("acl", ""),)).sent(service)[2].count(b"anyone") == 0
    wrong = f"GET /k HTTP/1.1\r\nHost: {host_of(bucket)}\r\nConnection: close\r\n{{}}\r\n\r\n"
    made = Signed.of(owner, bucket, "GET", "/k").authorization
    for line in (f"_Authorization: {made}", f"X-Authorization: {made}", f"Proxy-Authorization: {made}"):
        refused(exchange(service, wrong.format(line).encode()), 403)


@pytest.mark.parametrize(
    "first",
    [
        "GET /k",
        "GET  /k HTTP/1.1",
        "GET /k HTTP/1.1 HTTP/1.1",
        "GET /k http/1.1",
        "GET\t/k HTTP/1.1",
        "GET k HTTP/1.1",
        "GET ?/k HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://{host}/k HTTP/1.1",
        "GET //{host}/k HTTP/1.1",
        "GET http:/k HTTP/1.1",
        "GET http:///k HTTP/1.1",
        "GET http://{other}\\@{host}/k HTTP/1.1",
        "GET http://{other}#@{host}/k HTTP/1.1",
        "GET http://{other}?@{host}/k HTTP/1.1",
        "GET http://{other}/k#@{host} HTTP/1.1",
        "GET http://{host}%2f.{other}/k HTTP/1.1",
        "GET http://{host}:x@{other}/k HTTP/1.1",
        "GET http://[{other}]/k HTTP/1.1",
        "GET http:/\\{other}/k HTTP/1.1",
        "GET /k\x00 HTTP/1.1",
        "GET /k\xa0 HTTP/1.1",
        "get /k HTTP/1.1",
        "GET /k HTTP/1.1\r\nGET /k HTTP/1.1",
        "TRACE /k HTTP/1.1",
        "CONNECT {other}:80 HTTP/1.1",
    ],
)
def test_request_lines(raw, bucket: str, other: str, first: str) -> None:
    """A target that is no path and no plain URL, and what is no request line, show no object."""
    reply = raw(first=first.format(host=host_of(bucket), other=host_of(other)))
    assert statuses(reply)[0] >= 400
    assert len(statuses(reply)) == 1
    assert SECRET not in reply


FORGED = {
    "X-Forwarded-For": "10.9.9.9",
    "X-Forwarded-For: 10.9.9.9, 127.0.0.1\r\nX-Forwarded-For": "10.9.9.9",
    "X-Real-IP": "10.9.9.9",
    "Forwarded": "for=10.9.9.9;proto=https;host=10.9.9.9",
    "X-Client-IP": "10.9.9.9",
    "True-Client-IP": "10.9.9.9",
    "CF-Connecting-IP": "10.9.9.9",
    "X-Originating-IP": "10.9.9.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Ssl": "on",
    "Front-End-Https": "on",
}


@pytest.mark.parametrize("name", FORGED, ids=lambda it: it.splitlines()[0])
def test_addresses_that_are_claimed(service: Server, people: People, owner: Key, bucket: str, name: str) -> None:
    """Nobody is at another address, or comes by TLS, because he says so: headers of proxies are for those we know."""
    inside = {"ip_equal": {"qcs:ip": ["10.9.9.0/24"]}}
    made = {
        "allowed inside": [allow("cos:GetObject", condition=inside)],
        "denied outside": [allow("cos:GetObject"), deny("*", condition={"ip_not_equal": inside["ip_equal"]})],
        "denied without TLS": [
            allow("cos:GetObject"),
            deny("*", condition={"bool_equal": {"cos:secure-transport": "false"}}),
        ],
    }
    for statements in made.values():
        user = people.user(owner, *statements)
        signature = Signed.of(user, bucket, "GET", "/k").authorization
        head = f"GET /k HTTP/1.1\r\nHost: {host_of(bucket)}\r\nAuthorization: {signature}\r\n"
        refused(exchange(service, f"{head}{name}: {FORGED[name]}\r\nConnection: close\r\n\r\n".encode()), 403)


def test_an_address_that_is_denied(service: Server, people: People, owner: Key, bucket: str) -> None:
    """Nor does anybody leave a network that a policy denies by saying so."""
    closed = deny("*", condition={"ip_equal": {"qcs:ip": ["127.0.0.0/8", "::1"]}})
    user = people.user(owner, allow("cos:GetObject"), closed)
    for headers in ({}, *({name: value} for name, value in FORGED.items() if "\r" not in name)):
        assert Signed.of(user, bucket, "GET", "/k").sent(service, headers=headers)[0] == 403


def test_a_reply_has_no_lines_of_the_request(service: Server, owner: Key, bucket: str) -> None:
    """Nothing that a client sends begins a line of the reply's head."""
    evil = "x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    for target in (f"/{evil}", f"/k?response-content-type={evil}", f"/?prefix={evil}", f"/k?uploadId={evil}"):
        host = host_of(bucket)
        request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nOrigin: http://{evil}\r\n\r\n"
        head = exchange(service, request.encode()).partition(b"\r\n\r\n")[0]
        assert b"Set-Cookie" not in head
        assert b"<script>" not in head


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.2"])
def test_a_connection_that_upgrades(raw, protocol: str) -> None:
    """There is nothing to upgrade to: a request is answered as it is, and what follows it is no other protocol."""
    reply = raw(f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Sec-WebSocket-Key: AA==")
    assert statuses(reply) == [200]
