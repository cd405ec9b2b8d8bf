"""What settings are refused, with what to write instead, and that no message shows a secret."""

import pytest
from pydantic import ValidationError

from sordino.denoisers import names
from sordino.domain.mq_driver import AmqpDriver, CmqDriver, EmbeddedDriver, NoDriver
from sordino.settings import SECRETS, Settings, unknown_variables


def refusal(**values: object) -> tuple[str, str]:
    """The setting that is refused and why."""
    with pytest.raises(ValidationError) as caught:
        Settings(**values)
    (fault,) = caught.value.errors()
    return ".".join(str(part) for part in fault["loc"]), fault["msg"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sordino:hunter2%zz@db/sordino",
        "postgresql://sordino:hunter@2@db/sordino",
        "postgresql://sordino:hunter/2@db/sordino",
        "hunter2",
    ],
)
def test_malformed_database_url(url: str) -> None:
    """It is refused with how to write it, and without what was written."""
    name, message = refusal(database_url=url)
    assert name == "database_url"
    assert "postgresql://user:password@host:port/database" in message
    assert "hunter" not in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sordino:hunter%402@db:5432/sordino?sslmode=require",
        "postgres://db",
        "host=/srv/some@where/postgres port=5432 user=sordino dbname=sordino",
    ],
)
def test_good_database_url(url: str) -> None:
    """Whatever libpq takes is taken, also the connection string of an embedded server below an odd directory."""
    settings = Settings(database_url=url)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url


@pytest.mark.parametrize("url", ["/srv/blobs", "ftp://host/blobs", "s3://", "file://srv/blobs", "http://host/blobs"])
def test_blobs_url_of_no_store(url: str) -> None:
    """It is refused with the URLs there are."""
    name, message = refusal(blobs_url=url)
    assert name == "blobs_url"
    assert "file:///directory" in message


@pytest.mark.parametrize("key", ["hunter2", "hunter2" * 7, "a" * 44 + "é", f"{'A' * 43}=,", f"{'A' * 43}=,hunter2"])
def test_a_key_of_secrets_that_is_none(key: str) -> None:
    """It is refused with how to make one, and without what was written."""
    name, message = refusal(secrets_key=key)
    assert name == "secrets_key"
    assert "openssl" in message
    assert "hunter" not in message


def test_keys_of_secrets() -> None:
    """One, or several with the one that encrypts first; none are in the file."""
    first, second = f"{'A' * 43}=", f"{'B' * 42}A="
    assert Settings(secrets_key=f"{first},{second}").secrets_keys == (first, second)
    assert Settings().secrets_keys == ()


def test_blobs_in_memory() -> None:
    """API and workers could not share them."""
    assert "another memory" in refusal(blobs_url="memory:///")[1]


@pytest.mark.parametrize("url", ["file:///srv/blobs", "s3://bucket/prefix", "az://container", "gs://bucket"])
def test_blobs_url_of_a_store(url: str) -> None:
    """Directories and the stores of the three clouds are taken."""
    assert Settings(blobs_url=url).blobs == url


def test_denoiser_that_is_not_installed() -> None:
    """It is refused with the names of those that are."""
    name, message = refusal(denoiser="dnf3")
    assert name == "denoiser"
    assert ", ".join(names()) in message
    assert Settings(denoiser="off").denoiser == "off"


@pytest.mark.parametrize("text", ["app.example", "https://app.example/", "https://a.example https://b.example", "**"])
def test_cors_origins_that_are_none(text: str) -> None:
    """They are refused with the form of one."""
    name, message = refusal(cors_origins=text)
    assert name == "cors_origins"
    assert "<scheme>://<host>[:<port>]" in message
    assert Settings(cors_origins="https://*.app.example, http://localhost:*").cors_origins


@pytest.mark.parametrize("name", ["music", "Music-1250000000", "music-", "a" * 60 + "-1"])
def test_default_bucket_that_cannot_exist(name: str) -> None:
    """It is refused with what a bucket's name is."""
    assert "<name>-<APPID>" in refusal(default_bucket=name)[1]
    assert Settings(default_bucket="music-1250000000").default_bucket == "music-1250000000"


@pytest.mark.parametrize("values", [{"heartbeat_seconds": 4}, {"heartbeat_seconds": 1, "stalled_seconds": 2.9}])
def test_silence_shorter_than_three_heartbeats(values: dict[str, object]) -> None:
    """Workers that live would count as dead: refused, also when the silence is the default one."""
    name, message = refusal(**values)
    assert name == "stalled_seconds"
    assert "SORDINO_HEARTBEAT_SECONDS" in message


@pytest.mark.parametrize("name", ["stalled_seconds", "heartbeat_seconds", "max_input_seconds", "job_wall_seconds"])
@pytest.mark.parametrize("value", ["inf", "nan", "0"])
def test_times_are_finite(name: str, value: str) -> None:
    """A time is a positive number of seconds."""
    assert refusal(**{name: value})[0] == name


def test_variables_that_are_no_setting() -> None:
    """Misspelt ones are found; settings, the root key, the tests' own and other programs' are not."""
    environment = [
        "SORDINO_WORKER",
        "SORDINO_WORKERS",
        "sordino_port",
        "SORDINO_APPID",
        "SORDINO_UIN",
        "SORDINO_SECRET_ID",
        "SORDINO_SECRET_KEY",
        "SORDINO_TEST_DATABASE_URL",
        "SORDINO_BLOB_URL",
        "PATH",
    ]
    assert unknown_variables(environment) == ["SORDINO_BLOB_URL", "SORDINO_WORKER"]


@pytest.mark.parametrize("text", ["10.0.0.1/8", "http://hooks.internal", "hooks.internal 10.0.0.0/8"])
def test_callback_allow_that_is_no_list(text: str) -> None:
    """It is refused with its first wrong entry: it would allow other than was meant."""
    name, message = refusal(callback_allow=text)
    assert name == "callback_allow"
    assert "neither a network (10.0.0.0/8) nor a host nor the end of one (.example)" in message


def test_callback_secret_is_not_shown() -> None:
    """Neither the settings' own text nor an error message shows it."""
    assert "hunter2" not in repr(Settings(callback_secret="hunter2"))
    assert "callback_secret" in SECRETS


@pytest.mark.parametrize(
    "values", [{"callback_timeout_seconds": 0}, {"callback_timeout_seconds": 61}, {"callback_retry_seconds": -1}]
)
def test_times_of_callbacks(values: dict[str, int]) -> None:
    """They have bounds."""
    assert refusal(**values)[0] in values


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("rabbit", "write embedded, off, amqp://"),
        ("amqp://", "write amqp://user:password@host:5672/vhost"),
        ("amqp://me:hunter/2@host/", "%2F for a /"),
        ("amqp://me:hunter2@host/a/b", "write amqp://"),
        ("amqp://me:hunter2@host:port/", "write amqp://"),
        ("cmq:https://host", "write cmq:https://SecretId:SecretKey@host"),
        ("cmq:ftp://id:hunter2@host", "write cmq:"),
        ("cmq:https://id:hunter2@host/path", "without a path"),
    ],
)
@pytest.mark.parametrize("name", ["mq", "mq_sh"])
def test_message_queues_that_are_none(name: str, text: str, word: str) -> None:
    """They are refused with how to write them, and without what was written."""
    refused, message = refusal(**{name: text})
    assert refused == name
    assert name in SECRETS
    assert word in message
    assert "hunter" not in message


def test_message_queues() -> None:
    """A region has its own message queue, or that of all regions; passwords are not shown."""
    settings = Settings(
        mq="amqps://me:hunter2@host/v%2Fhost",
        mq_bj="off",
        mq_gz="cmq:https://AKID:hunter%2F2@host:8443/",
        mq_hk="embedded",
    )
    assert settings.mq_drivers == {
        "sh": AmqpDriver("amqps://me:hunter2@host/v%2Fhost"),
        "bj": NoDriver(),
        "gz": CmqDriver(endpoint="https://host:8443", secret_id="AKID", secret_key="hunter/2"),
        "cd": AmqpDriver("amqps://me:hunter2@host/v%2Fhost"),
        "hk": EmbeddedDriver(),
    }
    assert "hunter" not in f"{settings!r} {settings.mq_drivers!r}"
    assert set(Settings().mq_drivers.values()) == {EmbeddedDriver()}
