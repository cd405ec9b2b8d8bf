"""Who asks too often, guesses, or has too much done is told to slow down, in the way of each service."""

import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from qcloud_cos import CosConfig, CosS3Client, CosServiceError

from people import Key
from policies import allow
from raw_http import authorization, host_of, refusal, send
from server import REGION, Server, new_room
from sordino.cam.limits import BURST_SECONDS
from support import job_body, start_service, wait_for_jobs
from watching import Watchers

GUESSES = 60
"""Failed sign-ins a minute that ``guarded`` lets an address have: another each second."""
PARALLEL = 4
OTHERS = {"X-Forwarded-For": "198.51.100.2"}


@pytest.fixture(scope="module")
def people(service: Server) -> Watchers:
    """Whoever has an account there."""
    return Watchers(service)


@pytest.fixture
def owner(people: Watchers) -> Key:
    """The root of a fresh account."""
    return people.account()


@pytest.fixture
def bucket(people: Watchers, owner: Key) -> str:
    """Its bucket."""
    return people.bucket(owner)


def reading(service: Server, bucket: str, key: Key, tries: int, kind: str = "cos") -> Counter[int]:
    """How often so many requests, four at a time, were answered with which status."""
    path = "/" if kind == "cos" else "/asrqueue"
    with ThreadPoolExecutor(PARALLEL) as pool:
        replies = pool.map(lambda _: send(service, "GET", path, bucket=bucket, key=key, kind=kind), range(tries))
        return Counter(status for status, _, _ in replies)


class TestRequests:
    """Requests a second."""

    def test_of_an_account(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Some seconds' worth pass at once, then so many a second; other accounts notice nothing."""
        other = people.account()
        theirs = people.bucket(other)
        people.allow(owner, requests_per_second=2)
        began = time.monotonic()
        statuses = reading(service, bucket, owner, 40)
        most = (BURST_SECONDS + time.monotonic() - began) * 2 + 1
        assert statuses.keys() == {200, 503}
        assert 2 * BURST_SECONDS <= statuses[200] <= most
        assert reading(service, theirs, other, 40) == {200: 40}

    @pytest.mark.parametrize(("kind", "path", "status"), [("cos", "/", 503), ("ci", "/asrqueue", 429)])
    def test_the_refusal(
        self, service: Server, people: Watchers, owner: Key, bucket: str, kind: str, path: str, status: int
    ) -> None:
        """COS says it with 503, CI with 429, and both when to come again; who does is let in."""
        people.allow(owner, requests_per_second=1)
        for _ in range(30):
            answered, head, body = send(service, "GET", path, bucket=bucket, key=owner, kind=kind)
            if answered != 200:
                break
        assert (answered, refusal(body)["Code"]) == (status, "SlowDown")
        assert 1 <= int(head["Retry-After"]) <= 2
        time.sleep(int(head["Retry-After"]))
        assert send(service, "GET", path, bucket=bucket, key=owner, kind=kind)[0] == 200

    def test_of_a_key(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """One key's limit leaves the account's others alone, and holds for temporary keys that it asked for."""
        user = people.user(owner, allow("*"))
        people.limit(user, 1)
        temporary = people.temporary(user)
        assert reading(service, bucket, user, 20)[503] >= 10
        token = {"x-cos-security-token": temporary.token}
        assert send(service, "GET", "/", bucket=bucket, key=temporary, headers=token)[0] == 503
        assert reading(service, bucket, owner, 20) == {200: 20}

    def test_a_stranger_uses_up_nothing(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Requests that name an account's key and are wrongly signed do not count against it."""
        people.allow(owner, requests_per_second=1)
        refused = Counter(send(service, "GET", "/", bucket=bucket, key=owner, secret_key="wrong")[0] for _ in range(20))
        assert refused == {403: 20}
        assert send(service, "GET", "/", bucket=bucket, key=owner)[0] == 200

    def test_before_the_body(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Who announces a body is refused before he sends it."""
        people.allow(owner, requests_per_second=1)
        reading(service, bucket, owner, 20)
        head = (
            f"PUT /big HTTP/1.1\r\nHost: {host_of(bucket)}\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n"
            f"Authorization: {authorization(service, 'PUT', '/big', host_of(bucket), key=owner)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 503")

    def test_the_official_sdk_goes_on(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Its retries outlast the limit: nothing of what it uploads is missing."""
        people.allow(owner, requests_per_second=2)
        client = CosS3Client(
            CosConfig(
                Region=REGION,
                SecretId=owner.secret_id,
                SecretKey=owner.secret_key,
                Scheme="http",
                Proxies={"http": service.url},
            ),
            retry=4,
        )
        for number in range(16):
            client.put_object(Bucket=bucket, Key=f"{number:02}", Body=b"a")
        people.allow(owner)
        keys = [it["Key"] for it in client.list_objects(Bucket=bucket)["Contents"]]
        assert keys == [f"{number:02}" for number in range(16)]
        assert client.get_retry_exe_times() > 0

    def test_a_flood_fills_no_log(self, service: Server, people: Watchers, owner: Key, bucket: str) -> None:
        """Refusals of one who asks too often are told by example."""
        people.allow(owner, requests_per_second=1)
        assert reading(service, bucket, owner, 60)[503] >= 30
        _, last, _ = send(service, "PUT", "/a", bucket=people.bucket(people.account()), key=owner, body=b"a")
        assert last["x-cos-request-id"]
        time.sleep(1)
        assert len(people.log(account=owner.appid, allowed=False)) <= 10


class TestAudio:
    """What jobs read a day, and how many wait."""

    @pytest.fixture(autouse=True)
    def _not_at_midnight(self) -> None:
        """Let no day end in the middle."""
        now = datetime.now(UTC)
        left = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1) - now
        if left < timedelta(minutes=2):
            time.sleep(left.total_seconds() + 1)

    def test_audio_of_a_day(self, people: Watchers, owner: Key, bucket: str, recording: bytes) -> None:
        """What a job has read counts, also when its result may not be written; then the day is used up."""
        client = people.client(owner)
        client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
        people.allow(owner, audio_seconds=5)
        codes = []
        for most in (len(recording) + 100, None):
            people.quota(bucket, most)
            (job,) = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})["JobsDetail"]
            codes.append(wait_for_jobs(client, bucket, [job["JobId"]])[job["JobId"]]["Code"])
        assert codes == ["QuotaExceeded", "Success"]
        with pytest.raises(CosServiceError) as caught:
            client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})
        assert (caught.value.get_status_code(), caught.value.get_error_code()) == (429, "SlowDown")
        assert "hours of audio today" in caught.value.get_error_msg()
        people.allow(owner, audio_seconds=7)
        client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})

    def test_jobs_that_wait(self, people: Watchers, owner: Key, bucket: str) -> None:
        """In a paused queue jobs wait, as many as may."""
        client = people.client(owner)
        (queue,) = client.ci_get_asr_queue(Bucket=bucket)["QueueList"]
        client.ci_update_asr_queue(
            Bucket=bucket, QueueId=queue["QueueId"], Request={"Name": "q", "State": "Paused", "NotifyConfig": ""}
        )
        people.allow(owner, queued_jobs=2)
        for _ in range(2):
            client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})
        with pytest.raises(CosServiceError) as caught:
            client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})
        assert (caught.value.get_status_code(), caught.value.get_error_code()) == (429, "SlowDown")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A service that lets an address guess little, behind a proxy that tells the address."""
    with new_room() as directory:
        running = start_service(
            directory / "data", SORDINO_FAILED_SIGN_INS=str(GUESSES), SORDINO_TRUSTED_PROXIES="127.0.0.1"
        )
        yield running
        status = running.stop()
        assert status == 0, running.log_tail(60)


class TestGuesses:
    """Sign-ins that failed."""

    def guess(self, guarded: Server, source: str, *, kind: str = "cos", tries: int = 4 * GUESSES) -> Counter[int]:
        """How often so many guesses from an address were answered with which status."""
        stranger = Key(appid="1", secret_id="AKIDnobody", secret_key="x")
        headers, path = {"X-Forwarded-For": source}, "/" if kind == "cos" else "/asrqueue"
        with ThreadPoolExecutor(PARALLEL) as pool:
            replies = pool.map(
                lambda _: send(guarded, "GET", path, bucket="b-1", key=stranger, kind=kind, headers=headers)[0],
                range(tries),
            )
            return Counter(replies)

    @pytest.mark.parametrize(
        ("kind", "source", "wrong", "slow"),
        [("cos", "198.51.100.1", 403, 503), ("ci", "2001:db8:1:2::1", 401, 429)],
        ids=["cos", "ci"],
    )
    def test_so_many_a_minute(self, guarded: Server, kind: str, source: str, wrong: int, slow: int) -> None:
        """So many guesses are looked at, another each second, and those under way at once; the others are refused."""
        began = time.monotonic()
        statuses = self.guess(guarded, source, kind=kind)
        assert statuses.keys() == {wrong, slow}
        assert GUESSES <= statuses[wrong] <= GUESSES + 1 + PARALLEL + time.monotonic() - began

    def test_who_is_refused_meanwhile(self, guarded: Server) -> None:
        """Keys that signed there go on, others wait; elsewhere nobody does, whichever key was guessed at."""
        people = Watchers(guarded)
        owner = people.root()
        bucket = people.bucket(owner)
        user = people.user(owner, allow("cos:*"))
        shared = {"X-Forwarded-For": "198.51.100.7"}
        assert send(guarded, "GET", "/", bucket=bucket, key=owner, headers=shared)[0] == 200
        with ThreadPoolExecutor(PARALLEL) as pool:
            replies = Counter(
                pool.map(
                    lambda _: send(guarded, "GET", "/", bucket=bucket, key=user, secret_key="x", headers=shared)[0],
                    range(3 * GUESSES),
                )
            )
        assert replies.keys() == {403, 503}
        assert send(guarded, "GET", "/", bucket=bucket, key=owner, headers=shared)[0] == 200
        status, head, body = send(guarded, "GET", "/", bucket=bucket, key=user, headers=shared)
        assert (status, refusal(body)["Code"]) == (503, "SlowDown")
        assert send(guarded, "GET", "/", bucket=bucket, key=user, headers=OTHERS)[0] == 200
        time.sleep(int(head["Retry-After"]) + 0.1)
        assert send(guarded, "GET", "/", bucket=bucket, key=user, headers=shared)[0] == 200

    def test_a_flood_fills_no_log(self, guarded: Server) -> None:
        """Of many guesses some are told."""
        self.guess(guarded, "198.51.100.77")
        time.sleep(1)
        assert 1 <= len(Watchers(guarded).log(source="198.51.100.77")) <= 10

    @pytest.mark.parametrize("what", ["expired", "anonymous"])
    def test_what_is_no_guess(self, guarded: Server, what: str) -> None:
        """A client whose clock is wrong, or who does not sign, is not kept from anything."""
        people = Watchers(guarded)
        owner = people.root()
        bucket = people.bucket(owner)
        source = {"X-Forwarded-For": "198.51.100.8"}
        shift = timedelta(hours=-2 if what == "expired" else 0)
        statuses = Counter(
            send(
                guarded,
                "GET",
                "/",
                bucket=bucket,
                key=owner,
                headers=source,
                shift=shift,
                signed=what == "expired",
            )[0]
            for _ in range(GUESSES + 10)
        )
        assert statuses == {403: GUESSES + 10}
        user = people.user(owner, allow("cos:*"))
        assert send(guarded, "GET", "/", bucket=bucket, key=user, headers=source)[0] == 200
