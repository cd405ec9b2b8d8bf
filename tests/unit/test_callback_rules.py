"""Where a callback goes, which URLs and addresses it may go to, how long it waits: rules without I/O."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.domain.addresses import closed, real
from sordino.domain.callback import (
    CallbackEvent,
    CallbackFormat,
    CallbackTarget,
    CallbackType,
    JobCallback,
    MqMode,
    MqTarget,
    NotifyConfig,
    resolve,
)
from sordino.domain.callback_url import (
    MAX_URL,
    OTHER_PORTS,
    Allowed,
    CallbackUrlError,
    parse_callback_url,
    refused_address,
)
from sordino.jobs.notify import FIRST_PAUSE, LEAST_PAUSE, LONGEST_PAUSE, LONGEST_WISH, pause
from sordino.wire.callbacks import retry_after

NOW = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)
NOBODY = Allowed()
JOB_URL, QUEUE_URL = "http://job.example/", "http://queue.example/"
MQ = MqTarget(region="sh", mode=MqMode.QUEUE, name="q")
QUEUE = NotifyConfig(
    on=True, events=(CallbackEvent.TASK_FINISH,), type=CallbackType.URL, format=CallbackFormat.JSON, url=QUEUE_URL
)
TO_JOB = CallbackTarget(format=CallbackFormat.JSON, url=JOB_URL)
TO_QUEUE = CallbackTarget(format=CallbackFormat.JSON, url=QUEUE_URL)


def changed(**values: object) -> NotifyConfig:
    """``QUEUE`` with other values."""
    plain = {name: getattr(QUEUE, name) for name in ("on", "events", "type", "format", "url", "mq")}
    return NotifyConfig(**(plain | values))


@pytest.mark.parametrize(
    ("job", "queue", "expected"),
    [
        (JobCallback(), None, None),
        (JobCallback(), NotifyConfig(), None),
        (JobCallback(), QUEUE, TO_QUEUE),
        (JobCallback(), changed(on=False), None),
        (JobCallback(), changed(events=(CallbackEvent.WORKFLOW_FINISH,)), None),
        (JobCallback(), changed(events=tuple(CallbackEvent)), TO_QUEUE),
        (JobCallback(muted=True), QUEUE, None),
        (JobCallback(muted=True, format=CallbackFormat.XML), None, None),
        (JobCallback(url=JOB_URL), None, CallbackTarget(url=JOB_URL)),
        (JobCallback(url=JOB_URL), QUEUE, TO_JOB),
        (JobCallback(url=JOB_URL), changed(on=False), CallbackTarget(format=CallbackFormat.XML, url=JOB_URL)),
        (JobCallback(url=JOB_URL), changed(type=CallbackType.TDMQ, mq=MQ), TO_JOB),
        (JobCallback(format=CallbackFormat.XML), QUEUE, CallbackTarget(format=CallbackFormat.XML, url=QUEUE_URL)),
        (JobCallback(format=CallbackFormat.JSON), None, None),
        (JobCallback(type=CallbackType.URL), QUEUE, TO_QUEUE),
        (JobCallback(type=CallbackType.TDMQ, mq=MQ), QUEUE, CallbackTarget(format=CallbackFormat.JSON, mq=MQ)),
        (JobCallback(type=CallbackType.TDMQ), QUEUE, None),
        (JobCallback(mq=MQ), None, None),
        (JobCallback(), changed(type=CallbackType.TDMQ, mq=MQ), CallbackTarget(format=CallbackFormat.JSON, mq=MQ)),
    ],
)  # fmt: skip
def test_precedence(job: JobCallback, queue: NotifyConfig | None, expected: CallbackTarget | None) -> None:
    """The job's word goes over the queue's, `no` silences both, a queue counts while it is on and tells of tasks."""
    assert resolve(job, queue) == expected


CLOSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254
168.63.129.16 169.254.0.23 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::2 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0.0.0.0
::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1::8.8.8.8
100::1 2001::1 2001:0:7f00:1:0:0:f5ff:fffe 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1
2002:a00:1:: 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::a9fe:a9fe febf::1 fec0::1
ff02::1 ff0e::1 1::1 4000::1 8000::1 e000::1
""".split()  # noqa: SIM905 - a list would take a line an address

OPEN = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 169.253.255.255
169.255.0.1 172.15.255.255 172.32.0.1 192.0.1.1 192.0.3.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1
203.0.112.255 203.0.114.1 223.255.255.255 168.63.129.15 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200::1
2001:4860:4860::8888 2400:cb00::1 2606:4700::1111 2a00:1450::1 3ffe::1
""".split()  # noqa: SIM905


@pytest.mark.parametrize("text", CLOSED)
def test_addresses_that_are_not_the_internets(text: str) -> None:
    """They are refused with what they are."""
    what = closed(ip_address(text))
    assert what
    assert what in (refused_address("hooks.example", ip_address(text), NOBODY) or "")


def test_addresses_of_names_are_not_told() -> None:
    """Who asks for a name learns that it leads inside, and not where; an address is told as it was given."""
    inside = ip_address("10.1.2.3")
    told = "no address of the internet (private)"
    assert refused_address("hooks.example", inside, NOBODY) == f"leads to {told}"
    assert refused_address("10.1.2.3", inside, NOBODY) == f"leads to 10.1.2.3, which is {told}"


@pytest.mark.parametrize("text", OPEN)
def test_addresses_of_the_internet(text: str) -> None:
    """Their neighbours, and IPv6 addresses that stand for one of them, are open."""
    assert closed(ip_address(text)) is None
    assert refused_address("h", ip_address(text), NOBODY) is None


@given(st.ip_addresses(v=4))
def test_ipv4_in_ipv6(address) -> None:
    """Carried through IPv6, an IPv4 address is as open or closed as it is itself."""
    for prefix in ("::ffff:", "64:ff9b::"):
        assert closed(ip_address(f"{prefix}{address}")) == closed(address)
        assert real(ip_address(f"{prefix}{address}")) == address


@given(st.ip_addresses(v=4))
def test_python_agrees_about_ipv4(address) -> None:
    """Nothing that Python holds for private is open here."""
    assert closed(address) or not (address.is_private or address.is_multicast or address.is_reserved)


@given(st.ip_addresses(v=6))
def test_python_agrees_about_ipv6(address) -> None:
    """The same, but for NAT64, which Python holds for reserved."""
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_link_local
    assert closed(address) or not special or real(address) != address


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("http://hooks.example/ci", "hooks.example", 80, "/ci"),
        ("https://hooks.example", "hooks.example", 443, "/"),
        ("HTTPS://Hooks.Example.:8443/a%20b?x=1&y#z", "hooks.example", 8443, "/a%20b?x=1&y"),
        ("http://hooks.example?x", "hooks.example", 80, "/?x"),
        ("http://8.8.8.8:1024/", "8.8.8.8", 1024, "/"),
        ("http://[2606:4700::1111]:65535/", "2606:4700::1111", 65535, "/"),
        ("http://intranet/", "intranet", 80, "/"),
        ("http://a_b.xn--fiqs8s/", "a_b.xn--fiqs8s", 80, "/"),
        ("https://hooks.example:80/", "hooks.example", 80, "/"),
    ],
)
def test_urls_that_may_be_called(url: str, host: str, port: int, target: str) -> None:
    """They are taken apart."""
    found = parse_callback_url(url, NOBODY)
    assert (found.host, found.port, found.target) == (host, port, target)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "printable"),
        ("http://hooks.example/a b", "printable"),
        ("http://hooks.example/\n", "printable"),
        ("http://例子.example/", "printable"),
        (f"http://hooks.example/{'x' * MAX_URL}", "printable"),
        ("hooks.example/ci", "http://host"),
        ("ftp://hooks.example/", "http://host"),
        ("file:///etc/passwd", "http://host"),
        ("gopher://hooks.example/", "http://host"),
        ("http://", "http://host"),
        ("http:///x", "http://host"),
        ("http://user:secret@hooks.example/", "user name"),
        ("http://hooks.example@127.0.0.1/", "user name"),
        ("http://hooks.example\\@127.0.0.1/", "user name"),
        ("http://hooks.example:0/", "port 0"),
        ("http://hooks.example:22/", "port 22"),
        ("http://hooks.example:25/", "port 25"),
        ("http://hooks.example:1023/", "port 1023"),
        ("http://hooks.example:6667/", "port 6667"),
        ("http://hooks.example:65536/", "malformed"),
        ("http://hooks.example:x/", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://[v1.hooks]/", "brackets"),
        ("http://-hooks.example/", "Punycode"),
        ("http://hooks..example/", "Punycode"),
        (f"http://{'a' * 64}.example/", "Punycode"),
        ("http://127.0.0.1/", "loopback"),
        ("http://127.0.0.1:8000/jobs", "loopback"),
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://10.1.2.3/", "private"),
        ("http://[::1]/", "loopback"),
        ("http://[::ffff:127.0.0.1]/", "loopback"),
        ("http://[::ffff:7f00:1]/", "loopback"),
        ("http://[64:ff9b::7f00:1]/", "loopback"),
        ("http://[fd00:ec2::254]/", "private"),
        ("http://[fe80::1%25eth0]/", "Punycode"),
        ("http://localhost/", "loopback"),
        ("http://LocalHost.:8000/", "loopback"),
        ("http://any.localhost/", "loopback"),
        ("http://127.1/", "Punycode"),
        ("http://2130706433/", "Punycode"),
        ("http://0x7f000001/", "Punycode"),
        ("http://0177.0.0.1/", "Punycode"),
        ("http://0x7f.0.0.1/", "Punycode"),
        ("http://1.2.3.4.5/", "Punycode"),
    ],
)
def test_urls_that_may_not_be_called(url: str, reason: str) -> None:
    """They are refused with the reason, without asking DNS."""
    with pytest.raises(CallbackUrlError, match=reason):
        parse_callback_url(url, NOBODY)


@pytest.mark.parametrize("port", sorted(OTHER_PORTS))
def test_ports_of_other_protocols(port: int) -> None:
    """They are refused on every host, also on one that is allowed."""
    with pytest.raises(CallbackUrlError, match=f"port {port}"):
        parse_callback_url(f"http://hooks.example:{port}/", Allowed.parse("hooks.example"))


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever it is, it is taken apart or refused."""
    for url in (text, f"http://{text}"):
        with suppress(CallbackUrlError):
            assert parse_callback_url(url, NOBODY).host


@pytest.mark.parametrize(
    ("allowed", "url", "fine"),
    [
        ("127.0.0.0/8", "http://127.0.0.1:9000/", True),
        ("127.0.0.0/8", "http://localhost:9000/", True),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]/", True),
        ("127.0.0.0/8", "http://[::1]/", False),
        ("127.0.0.0/8", "http://10.0.0.1/", False),
        ("10.0.0.1", "http://10.0.0.1/", True),
        ("10.0.0.1", "http://10.0.0.2/", False),
        ("::1", "http://[::1]/", True),
        ("localhost", "http://localhost/", True),
        ("localhost", "http://127.0.0.1/", False),
        (" 10.0.0.0/8 ,, fd00::/8 ", "http://[fd00::1]/", True),
    ],
)
def test_allowed_networks(allowed: str, url: str, *, fine: bool) -> None:
    """What the server's owner allows may be called, and nothing beside it."""
    if fine:
        assert parse_callback_url(url, Allowed.parse(allowed))
    else:
        with pytest.raises(CallbackUrlError, match="SORDINO_CALLBACK_ALLOW"):
            parse_callback_url(url, Allowed.parse(allowed))


@pytest.mark.parametrize(
    ("allowed", "host", "fine"),
    [
        ("hooks.internal", "hooks.internal", True),
        ("Hooks.Internal", "hooks.internal", True),
        ("hooks.internal", "x.hooks.internal", False),
        ("hooks.internal", "evilhooks.internal", False),
        (".internal", "hooks.internal", True),
        (".internal", "internal", False),
        (".internal", "hooks.internal.example", False),
        ("", "hooks.internal", False),
        ("192.168.0.0/16", "hooks.internal", False),
        ("10.0.0.0/8", "hooks.internal", True),
    ],
)
def test_allowed_hosts(allowed: str, host: str, *, fine: bool) -> None:
    """A host that is allowed may have a private address, another may not."""
    assert (refused_address(host, ip_address("10.0.0.1"), Allowed.parse(allowed)) is None) == fine


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0.0/33", "http://hooks.internal", "*.internal", ".", "a b", "127.1", "-a"]
)
def test_lists_that_are_none(text: str) -> None:
    """A wrong entry is refused by its name: it would allow other than was meant."""
    with pytest.raises(ValueError, match="neither a network"):
        Allowed.parse(f"hooks.internal, {text}")


@pytest.mark.parametrize(("attempts", "wish"), list(product([1, 2, 3, 8, 9, 10, 400], [None, 0.0, 30.0, 86400.0])))
def test_pauses(attempts: int, wish: float | None) -> None:
    """They double up to a bound, are drawn from the whole range below it, and last as long as the receiver asks."""
    drawn = [pause(attempts, wish) for _ in range(300)]
    bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 1))
    least, most = max(LEAST_PAUSE, min(wish or 0, LONGEST_WISH)), max(bound, min(wish or 0, LONGEST_WISH))
    assert all(least <= seconds <= most for seconds in drawn)
    if bound > least:
        assert min(drawn) < least + (bound - least) / 4
        assert max(drawn) > most - (bound - least) / 4


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Mon, 05 Jan 2026 10:01:00 GMT", 60.0),
        ("Mon, 05 Jan 2026 09:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("١٢", None),
        ("Mon, 99 Jan 2026 10:01:00 GMT", None),
        ("Mon, 05 Jan 99999999999999999999 10:01:00 GMT", None),
        ("Mon, 05 Jan 2026 10:01:00 -0000", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood; anything else says nothing."""
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_retry_after_of_any_text(value: str) -> None:
    """Whatever a receiver writes, it breaks nothing."""
    seconds = retry_after(value, NOW)
    assert seconds is None or seconds >= 0
    assert NOW + timedelta(seconds=pause(1, seconds)) > NOW
