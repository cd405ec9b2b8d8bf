"""The sender of callbacks against a receiver on this machine: what it sends, and what it refuses to connect to."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest
import trustme

from receiver import Answer, receiving
from sordino.adapters.http_callback import MAX_REPLY_BYTES, HttpSender
from sordino.domain.addresses import Address
from sordino.domain.callback import CallbackTarget
from sordino.domain.callback_url import Allowed
from sordino.domain.delivery import Callback, Receipt
from sordino.domain.ports import CallbackFailedError
from support import free_port

HERE = Allowed.parse("127.0.0.0/8")
CALLBACK = Callback(
    target=CallbackTarget(url=""),
    delivery_id="d1",
    job_id="j1",
    state="Success",
    account="1250000000",
    headers=(("Content-Type", "application/json"), ("x-sordino-attempt", "1")),
    body=b"{}",
)


class Names:
    """A resolver that gives one answer after the other, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """The addresses whose turn it is."""
        self.asked.append((host, port))
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ip_address(text) for text in found]


def sender(**options: object) -> HttpSender:
    """A sender that may call this machine."""
    return HttpSender(**({"timeout": 3.0, "allowed": HERE} | options))


def to(url: str) -> Callback:
    """``CALLBACK`` for a URL."""
    return replace(CALLBACK, target=CallbackTarget(url=url))


async def send(url: str, **options: object) -> Receipt:
    """Send ``CALLBACK`` there."""
    return await sender(**options).send(to(url))


async def test_request() -> None:
    """It is a POST with the body, our headers, and no others but Host and Content-Length."""
    with receiving() as receiver:
        receipt = await send(receiver.url("/a%20b/?x=1&y=%2F"))
        request = receiver.next()
    assert receipt.accepted
    assert (request.method, request.target, request.body) == ("POST", "/a%20b/?x=1&y=%2F", b"{}")
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-length": "2",
        "content-type": "application/json",
        "x-sordino-attempt": "1",
    }


@pytest.mark.parametrize("status", [200, 201, 204, 299, 300, 400, 404, 410, 500, 503])
async def test_status(status: int) -> None:
    """Any 2xx is a success, nothing else is."""
    with receiving(Answer(status=status)) as receiver:
        receipt = await send(receiver.url())
    assert (receipt.status, receipt.accepted) == (status, 200 <= status < 300)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect(status: int) -> None:
    """It is an answer like others, and not followed."""
    with receiving() as other, receiving(Answer(status=status, headers={"Location": other.url()})) as receiver:
        receipt = await send(receiver.url())
        assert (receipt.status, receipt.accepted) == (status, False)
        assert other.silent(0.2)


async def test_retry_after() -> None:
    """What the receiver asks for is handed on."""
    with receiving(Answer(status=503, headers={"Retry-After": "7"})) as receiver:
        assert await send(receiver.url()) == Receipt(status=503, retry_after=7.0)


async def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not asked: they would connect to what was not checked."""
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert (await send(receiver.url())).accepted
        assert proxy.silent(0.1)


async def test_name() -> None:
    """A host's name is resolved once for each try, and told in Host."""
    names = Names(["127.0.0.1"])
    with receiving() as receiver:
        assert (await send(receiver.url(host="hooks.example"), resolve=names)).accepted
        assert receiver.next().headers["host"] == f"hooks.example:{receiver.port}"
    assert names.asked == [("hooks.example", receiver.port)]


async def test_name_of_this_system() -> None:
    """The system's own resolver is asked by default."""
    with receiving() as receiver:
        assert (await send(receiver.url(host="localhost"), allowed=Allowed.parse("localhost"))).accepted


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["64:ff9b::7f00:1"],
        ["8.8.8.8", "127.0.0.1"],
        ["2606:4700::1111", "fd00::1"],
    ],
)
async def test_names_that_lead_inside(addresses: list[str]) -> None:
    """One address that is not the internet's condemns the name; nothing connects."""
    with receiving() as receiver:
        with pytest.raises(CallbackFailedError, match="no address of the internet"):
            await send(receiver.url(host="hooks.example"), resolve=Names(addresses), allowed=Allowed())
        assert receiver.silent(0.1)


async def test_rebinding() -> None:
    """A name that leads inside at the next try is refused then, without saying where: every try asks, checks anew."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    with receiving() as receiver:
        callbacks = sender(resolve=names)
        callback = to(receiver.url(host="hooks.example"))
        assert (await callbacks.send(callback)).accepted
        with pytest.raises(CallbackFailedError, match="private") as failure:
            await callbacks.send(callback)
        assert "10.0.0.1" not in str(failure.value)
    assert len(names.asked) == 2


async def test_the_checked_address_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between check and connection nobody asks DNS again: that is where a second answer would lead inside."""

    def forbidden(host: str | bytes | None, *rest: object, **options: object) -> object:
        if host not in ("127.0.0.1", b"127.0.0.1"):
            raise AssertionError(f"{host!r} was looked up")
        return original(host, *rest, **options)

    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    with receiving() as receiver:
        assert (await send(receiver.url(host="hooks.example"), resolve=Names(["127.0.0.1"]))).accepted


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/"])
async def test_this_machine_by_default(url: str) -> None:
    """Without an allowance nothing connects to it."""
    with receiving() as receiver:
        with pytest.raises(CallbackFailedError, match="loopback"):
            await send(url.format(port=receiver.port), allowed=Allowed())
        assert receiver.silent(0.1)


async def test_second_address() -> None:
    """When the first address does not answer, the next one is tried."""
    with receiving() as receiver:
        # The whole of 127.0.0.0/8 is this machine; the receiver listens on one address of it.
        names = Names(["127.0.0.2", "127.0.0.1"])
        assert (await send(receiver.url(host="hooks.example"), resolve=names)).accepted


async def test_nobody_listens() -> None:
    """The failure says that the connection was refused."""
    with pytest.raises(CallbackFailedError, match=r"[Cc]onnect"):
        await send(f"http://127.0.0.1:{free_port()}/")


async def test_name_that_does_not_exist() -> None:
    """The failure says that the name cannot be resolved."""

    async def nowhere(host: str, port: int) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(CallbackFailedError, match="cannot be resolved: Name or service not known"):
        await send("http://hooks.example/", resolve=nowhere)
    with pytest.raises(CallbackFailedError, match="no address"):
        await send("http://hooks.example/", resolve=Names([]))


async def test_silent_name_server() -> None:
    """The time limit holds for DNS, too."""

    async def never(host: str, port: int) -> Sequence[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(CallbackFailedError, match=r"no reply within 0\.2 s"):
        await send("http://hooks.example/", resolve=never, timeout=0.2)


async def test_slow_receiver() -> None:
    """The time limit holds for the reply."""
    late = pytest.raises(CallbackFailedError, match=r"no reply within 0\.2 s")
    with receiving(Answer(seconds=1.0)) as receiver, late:
        await send(receiver.url(), timeout=0.2)


async def test_receiver_that_hangs_up() -> None:
    """A connection that ends without a reply is a failure with a reason."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CallbackFailedError, match=r".+"):
            await send(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 banana\r\n\r\n", b"\x00" * 200_000])
async def test_receiver_that_speaks_no_http(reply: bytes) -> None:
    """What is no HTTP is a failure, whatever it is and however long."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CallbackFailedError, match=r".+"):
            await send(f"http://127.0.0.1:{port}/")


async def test_long_reply() -> None:
    """Of a long body the beginning is read; the answer counts."""
    size = 1000 * MAX_REPLY_BYTES
    with receiving(Answer(headers={"Content-Length": str(size)}, body=bytes(2 * MAX_REPLY_BYTES))) as receiver:
        assert (await send(receiver.url())).accepted


async def test_reply_that_does_not_end() -> None:
    """A body that stays away changes nothing about the answer, and holds nobody for long."""
    with receiving(Answer(headers={"Content-Length": "10"})) as receiver:
        assert (await send(receiver.url(), timeout=30.0)).accepted


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """TLS of a server with a certificate for ``name``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """TLS of a client that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls(authority: trustme.CA) -> None:
    """The certificate must be one for the name, although the connection goes to a checked address."""
    tls, names = client_context(authority), Names(["127.0.0.1"])
    with receiving(tls=server_context(authority, "hooks.example")) as receiver:
        assert (await send(receiver.url(host="hooks.example"), resolve=names, tls=tls)).accepted
        with pytest.raises(CallbackFailedError, match="certificate"):
            await send(receiver.url(host="other.example"), resolve=names, tls=tls)
        with pytest.raises(CallbackFailedError, match="certificate"):
            await send(receiver.url(host="hooks.example"), resolve=names)


async def test_many_at_once() -> None:
    """A sender serves many tries at the same time."""
    with receiving(Answer(seconds=0.5)) as receiver:
        callbacks = sender(timeout=20.0)
        receipts = await asyncio.gather(*(callbacks.send(to(receiver.url())) for _ in range(8)))
        assert all(receipt.accepted for receipt in receipts)
        assert receiver.most_at_once > 1
