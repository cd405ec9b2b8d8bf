"""Fixtures that every kind of test shares."""

from collections.abc import Callable, Iterator

import pytest

from server import Server
from support import noisy_speech, reachable, start_service, wav_bytes


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service with everything embedded, shared by the tests that do not stop it."""
    running = start_service(reachable(tmp_path_factory.mktemp("service")) / "data")
    yield running
    status = running.stop()
    assert status == 0, running.log_tail(60)


@pytest.fixture(scope="session")
def new_bucket(service: Server) -> Callable[[], str]:
    """Makes a fresh bucket and returns its full name."""
    counter = iter(range(10_000))

    def make() -> str:
        name = f"bucket{next(counter)}-{service.root_key.appid}"
        service.client().create_bucket(Bucket=name)
        return name

    return make


@pytest.fixture(scope="session")
def recording() -> bytes:
    """Three seconds of speech-like sound in noise as a WAV file of 16 kHz."""
    return wav_bytes(noisy_speech(3.0), 16000)
