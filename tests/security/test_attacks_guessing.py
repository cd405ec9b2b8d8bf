"""Those who guess keys: they are told to slow down before anything is looked up, whatever they vary; nobody else is."""

import time
from collections.abc import Iterator
from secrets import token_hex
from urllib.parse import urlencode

import pytest

from forgery import Fields, Reply, Signed
from people import Key, People
from raw_http import refusal, send
from server import Server, new_room
from support import start_service
from watching import Watchers

MOST = 30
"""Failures a minute that the server lets pass."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server that counts failures, behind no proxy."""
    with new_room() as directory:
        running = start_service(directory / "data", SORDINO_WORKERS="1", SORDINO_FAILED_SIGN_INS=str(MOST))
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def owner(guarded: Server) -> Key:
    """The root of an account, who has signed from here."""
    return People(guarded).root()


@pytest.fixture(scope="module")
def bucket(guarded: Server, owner: Key) -> str:
    """Its bucket."""
    return People(guarded).bucket(owner)


def guess(service: Server, bucket: str, key: Key | None = None, headers: Fields | None = None, **more: object) -> Reply:
    """A request with a key that was made up, or with a wrong secret of one that there is."""
    made_up = Key(appid="1", secret_id=key.secret_id if key else f"AKID{token_hex(16)}", secret_key=token_hex(16))
    return Signed.of(made_up, bucket, "GET", "/k", **more).sent(service, headers=headers)


@pytest.fixture(scope="module")
def guesser(guarded: Server, owner: Key, bucket: str) -> None:
    """From here more was guessed than may be."""
    replies = [guess(guarded, bucket) for _ in range(MOST + 10)]
    codes = [refusal(content)["Code"] for _, _, content in replies]
    assert set(codes[:MOST]) == {"InvalidAccessKeyId"}
    assert codes[-1] == "SlowDown"


@pytest.mark.usefixtures("guesser")
class TestAGuesser:
    """What he meets once he is known for one."""

    @pytest.mark.parametrize("kind", ["cos", "ci"])
    def test_is_told_when_to_come_back(self, guarded: Server, bucket: str, kind: str) -> None:
        """The refusal is of the service that is asked, and says after how many seconds it may be worth trying."""
        status, headers, content = guess(guarded, bucket, kind=kind)
        assert (status, refusal(content)["Code"]) == (503 if kind == "cos" else 429, "SlowDown")
        assert 1 <= int(headers["Retry-After"]) <= 300

    def test_gets_no_further_by_claiming_to_be_others(self, guarded: Server, bucket: str) -> None:
        """Headers of proxies are not believed of anybody, so each guess counts for the address it came from."""
        for at in range(MOST + 5):
            for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
                value = f"for=10.1.{at}.1" if name == "Forwarded" else f"10.1.{at}.1"
                assert guess(guarded, bucket, headers={name: value})[0] == 503

    def test_gets_no_further_by_varying(self, guarded: Server, bucket: str, owner: Key) -> None:
        """Neither another id, another time, a token nor a signature in the URL makes it another guess."""
        for start in (-60, 0):
            assert guess(guarded, bucket, start=start)[0] == 503
        assert guess(guarded, bucket, headers={"x-cos-security-token": token_hex(8)})[0] == 503
        made_up = Key(appid="1", secret_id=f"AKID{token_hex(16)}", secret_key="x")
        assert Signed.of(made_up, bucket, "GET", "/k").sent(guarded, in_url=True)[0] == 503

    def test_does_not_learn_that_he_was_right(self, guarded: Server, bucket: str) -> None:
        """A right key that has not signed from there of late is refused as a wrong one is."""
        right = People(guarded).account()
        status, _, content = Signed.of(right, bucket, "GET", "/k").sent(guarded)
        assert (status, refusal(content)["Code"]) == (503, "SlowDown")

    def test_keeps_nobody_out(self, guarded: Server, owner: Key, bucket: str) -> None:
        """Who has signed from the same address goes on, also while somebody guesses the secret of his very key."""
        for _ in range(MOST + 5):
            guess(guarded, bucket, key=owner)
            assert Signed.of(owner, bucket, "HEAD", "/").sent(guarded)[0] == 200

    def test_is_no_reader_of_what_is_open(self, guarded: Server, owner: Key, bucket: str) -> None:
        """What everybody may read is still everybody's, unsigned."""
        acl = (("x-cos-acl", "public-read"),)
        assert Signed.of(owner, bucket, "PUT", "/open", headers=acl).sent(guarded, body=b"x")[0] == 200
        assert send(guarded, "GET", "/open", bucket=bucket, signed=False)[2] == b"x"

    def test_guesses_no_temporary_keys_either(self, guarded: Server) -> None:
        """STS looks no key up for him."""
        fields = {
            "Action": "GetCallerIdentity",
            "Version": "2018-08-13",
            "SecretId": f"AKID{token_hex(16)}",
            "Timestamp": str(int(time.time())),
            "Nonce": "1",
            "Signature": "AAAA",
        }
        body = urlencode(fields).encode()
        headers: Fields = {"Content-Type": "application/x-www-form-urlencoded", "Host": "sts.tencentcloudapi.com"}
        _, _, content = send(guarded, "POST", "/", body=body, headers=headers, signed=False)
        assert b"RequestLimitExceeded" in content

    def test_is_in_the_audit_log(self, guarded: Server) -> None:
        """Where he came from stands there, by examples of his guesses: they cannot fill it."""
        deadline = time.monotonic() + 20
        while not (told := [it for it in Watchers(guarded).log() if it.code == "InvalidAccessKeyId"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert {(it.source, it.allowed, it.appid) for it in told} == {("127.0.0.1", False, None)}
        assert len(told) < MOST


def test_what_a_wrong_secret_tells(service: Server) -> None:
    """How much of a signature is right makes no difference: to the reply, nor which of its letters is wrong."""
    people = People(service)
    owner = people.account()
    name = people.bucket(owner)
    made = Signed.of(owner, name, "GET", "/k")
    head, _, hexed = made.authorization.rpartition("=")
    told = set()
    for at in (0, 1, 20, 39):
        wrong = "0" if hexed[at] != "0" else "1"
        _, _, content = made.sent(service, signature=f"{head}={hexed[:at]}{wrong}{hexed[at + 1 :]}")
        told.add((refusal(content)["Code"], refusal(content)["Message"]))
    assert len(told) == 1
    assert next(iter(told))[0] == "SignatureDoesNotMatch"
    assert hexed not in str(told)
