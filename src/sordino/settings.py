"""Every setting: type, unit, default, one line of help. The reference page docs/reference/settings.md is generated from here."""

import os
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import platformdirs
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sordino.audio.order import DEFAULT_DENOISER
from sordino.denoisers import names
from sordino.domain.addresses import parse_networks
from sordino.domain.allowance import Allowance
from sordino.domain.bucket import split_bucket
from sordino.domain.callback import MQ_REGIONS
from sordino.domain.callback_url import Allowed
from sordino.domain.cors import Cors
from sordino.domain.mq_driver import MqDriver, parse_driver
from sordino.domain.queue import MAX_LIMIT
from sordino.domain.upload import MAX_PARTS

PREFIX: Final = "SORDINO_"

SECRETS: Final = frozenset(
    {"database_url", "blobs_url", "secrets_key", "callback_secret", "mq", *(f"mq_{it}" for it in MQ_REGIONS)}
)
"""Settings that may hold a password: no message shows their value."""

BEATS_OF_SILENCE: Final = 3
"""Heartbeats that a living worker may miss, at the least, before it counts as dead."""

KEY_BYTES: Final = 32
"""Of a key that encrypts secrets."""

TLS: Final = "tls"
SERVER_CERTIFICATE: Final = "server.pem"
SERVER_KEY: Final = "server-key.pem"
"""Where in the data directory a certificate of our own lies."""

# Of the root key's file, which is made to be read into a shell.
_ROOT_KEY: Final = frozenset({"SORDINO_APPID", "SORDINO_UIN", "SORDINO_SECRET_ID", "SORDINO_SECRET_KEY"})
_TESTS: Final = "SORDINO_TEST_"
_STORES: Final = frozenset({"local", "s3", "azure", "gcs"})


def default_data() -> Path:
    """``/var/lib/sordino`` for root, the user's data directory otherwise (``~/.local/share/sordino`` on Linux)."""
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/sordino")
    return platformdirs.user_data_path("sordino")


class Settings(BaseSettings):
    """Read from the environment, ``SORDINO_`` before the upper-case name; command line options win over it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        # "inf" and "nan" are floats, and no limit.
        allow_inf_nan=False,
    )

    data: Path = Field(
        default_factory=default_data, description="Directory of the embedded database, the objects and the root key."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    tls_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port the API listens on for HTTPS, beside the other; 0 takes a free one. Empty: no TLS.",
    )
    tls_host: str | None = Field(None, description="Address of the TLS port. Empty: that of `SORDINO_HOST`.")
    tls_certificate: Path | None = Field(
        None,
        description="PEM file with the certificate, then those of who signed it. Empty: `tls/server.pem` in the data directory, as `sordino admin tls` makes it.",
    )
    tls_key: Path | None = Field(
        None,
        description="PEM file with its private key, without a passphrase. Empty: the file of `SORDINO_TLS_CERTIFICATE`, or `tls/server-key.pem` in the data directory.",
    )
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port the admin API listens on, for bearers of tokens (`sordino admin token create`); 0 takes a free one. Empty: there is none.",
    )
    admin_host: str = Field("127.0.0.1", description="Address of that port.")
    admin_tls: bool = Field(
        default=False,
        description="Speak HTTPS on the admin port, with the certificate of `SORDINO_TLS_CERTIFICATE`: others in a network can read a token that crosses it in the clear.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL server to use, `postgresql://user:password@host:port/database`. Empty: the embedded one.",
    )
    database_schema: str = Field(
        "sordino", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="PostgreSQL schema that holds the tables."
    )
    database_connections: PositiveInt = Field(
        8, description="Connections to the database that the API holds at most; a worker holds up to 8."
    )
    blobs_url: str | None = Field(
        None,
        description="Where the bytes of objects lie, as an obstore URL: `file:///srv/blobs`, `s3://bucket/prefix`, `az://...` or `gs://...`. Empty: `blobs` in the data directory.",
    )
    fsync: bool = Field(
        default=True,
        description="Answer an upload when its bytes are on the disk of a local store. `off` answers sooner; objects of the last moments before a power failure may then be broken.",
    )
    results_days: int = Field(
        0,
        ge=0,
        le=36500,
        description="How long objects that jobs write are kept in buckets that say nothing of it, days; 0: for ever.",
    )
    secrets_key: SecretStr | None = Field(
        None,
        description="Key that the secrets of mounted buckets are encrypted with in the database, 32 random bytes in URL-safe base64; several, with commas, to change it: the first one encrypts. Empty: those in `secrets.key` in the data directory, which is made when it is needed first.",
    )
    workers: PositiveInt = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="Worker processes of `sordino serve`; each runs one job at a time on one core.",
    )
    region: str = Field(
        "ap-guangzhou",
        pattern=r"^[a-z0-9-]{1,40}$",
        description="Region of buckets created without one in the host name.",
    )
    default_bucket: str | None = Field(
        None, description="Bucket of requests whose host and path name none, `<name>-<APPID>`."
    )
    cors_origins: str = Field(
        "",
        description="Web pages that may use buckets without CORS rules of their own: a comma list of origins, such as `https://app.example, https://*.example.org`, or `*`. Empty: none.",
    )
    ci_on_any_host: bool = Field(
        default=True,
        description="Take `/jobs`, `/template`, `/asrqueue` ... for CI calls on COS hosts too (the Python SDK's IP mode needs it); objects of these keys, and of keys such as `jobs/j1`, then cannot be reached through such a host.",
    )
    bind_on_create: bool = Field(
        default=True,
        description="Open the speech, AI and media services on every new bucket; when off, jobs need `POST /asrbucket` first.",
    )
    queue_max_size: int = Field(
        10000, ge=1, le=MAX_LIMIT, description="Jobs that may wait in a queue that has no limit of its own."
    )
    queue_max_concurrent: int = Field(
        10, ge=1, le=MAX_LIMIT, description="Jobs of a queue that has no limit of its own that may run at a time."
    )
    max_buckets: PositiveInt = Field(200, description="Buckets that an account may have; mounted ones count.")
    max_temporary_keys: PositiveInt = Field(
        10000,
        description="Temporary keys of an account that may be good at a time; about so many, if many are asked for at "
        "once.",
    )
    max_queues: PositiveInt = Field(10, description="Queues that a bucket may have, the default one included.")
    max_templates: PositiveInt = Field(200, description="Templates that a bucket may have.")
    max_input_bytes: PositiveInt = Field(10 * 1024**2, description="Largest input object of a job, bytes.")
    max_input_seconds: PositiveFloat = Field(6 * 3600, description="Longest audio a job decodes, seconds.")
    max_object_bytes: PositiveInt = Field(
        5 * 1024**3, description="Largest object of one upload, and largest part of an upload in parts, bytes."
    )
    max_multipart_bytes: PositiveInt = Field(
        MAX_PARTS * 5 * 1024**3, description="Largest object that is uploaded in parts, bytes."
    )
    max_uploads: PositiveInt = Field(
        10000,
        description="Uploads in parts of a bucket that may be unfinished at a time; about so many, if many begin at once.",
    )
    upload_days: int = Field(
        7,
        ge=0,
        le=36500,
        description="How long an upload in parts may take from its beginning, days; then it is aborted and its parts go. 0: for ever.",
    )
    media_memory_bytes: PositiveInt = Field(
        2 * 1024**3, description="Address space the media process of a job may add, bytes."
    )
    media_cpu_seconds: PositiveInt = Field(3600, description="CPU time of the media process of a job, seconds.")
    job_wall_seconds: PositiveFloat = Field(
        7200,
        description="Wall time of the media process of a job, seconds; its input may take as long to arrive, its output to be stored.",
    )
    job_attempts: PositiveInt = Field(3, description="How often a job is tried when the fault is the server's.")
    job_retry_seconds: PositiveInt = Field(2, description="Base of the exponential wait between those tries, seconds.")
    job_worker_deaths: PositiveInt = Field(
        3, description="How many workers a job may cost: when so many have died while they ran it, it fails."
    )
    drain_seconds: float = Field(
        20.0,
        ge=0,
        description="How long a worker that is to stop goes on with its job before it gives it back, seconds.",
    )
    retention_days: int = Field(
        90, ge=0, le=36500, description="How long jobs are kept after their end, days; 0: for ever."
    )
    heartbeat_seconds: PositiveFloat = Field(2.0, description="How often a worker says that it lives, seconds.")
    stalled_seconds: PositiveFloat = Field(
        10.0,
        # Its default, too, must fit the heartbeat.
        validate_default=True,
        description="Silence after which a worker counts as dead and its job goes to another, seconds; at least 3 heartbeats.",
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: a comma list of networks, such as `10.0.0.0/8, 192.0.2.7`. Empty: none, and the client is whoever connects.",
    )
    requests_per_second: PositiveInt | None = Field(
        None,
        description="Requests a second of an account that has no limit of its own, counted by each API process over a few seconds. Empty: no limit.",
    )
    account_queued_jobs: int | None = Field(
        None,
        ge=0,
        description="Jobs that may wait in all queues of an account that has no limit of its own. Empty: no limit but those of the queues.",
    )
    account_audio_hours: PositiveFloat | None = Field(
        None,
        description="Hours of audio that the jobs of an account that has no limit of its own may read a day (UTC). Empty: no limit.",
    )
    failed_sign_ins: int = Field(
        120,
        ge=0,
        description="Requests a minute from one address that may name an unknown key or be wrongly signed; then those of keys that did not sign from there of late are refused unseen. 0: no limit.",
    )
    audit_days: int = Field(
        90, ge=0, le=36500, description="How long the audit log keeps what it tells, days; 0: for ever."
    )
    clock_skew_seconds: int = Field(300, ge=0, description="How far a client's clock may be ahead of ours, seconds.")
    callback_timeout_seconds: PositiveFloat = Field(
        5.0, le=60, description="How long a receiver of a callback may take to answer, seconds."
    )
    callback_retry_seconds: int = Field(
        24 * 3600,
        ge=0,
        description="How long after a job's end its callback is tried again while it fails, seconds; 0: not at all.",
    )
    callback_allow: str = Field(
        "",
        description="What callbacks may call beside the internet: a comma list of networks, hosts and ends of hosts, such as `10.0.0.0/8, hooks.internal, .corp.example`.",
    )
    callback_secret: SecretStr | None = Field(
        None, description="Key that callbacks are signed with (HMAC-SHA256). Empty: they are not signed."
    )
    mq: SecretStr = Field(
        SecretStr("embedded"),
        description="Message queue of callbacks of type TDMQ, for every region that has none of its own: `embedded` (in our database, read through the CMQ API), RabbitMQ as `amqp://user:password@host:5672/vhost` or `amqps://...`, a CMQ service as `cmq:https://SecretId:SecretKey@host`, or `off`.",
    )
    mq_sh: SecretStr | None = Field(None, description="Message queue of `MqRegion` sh. Empty: that of `SORDINO_MQ`.")
    mq_bj: SecretStr | None = Field(None, description="Message queue of `MqRegion` bj. Empty: that of `SORDINO_MQ`.")
    mq_gz: SecretStr | None = Field(None, description="Message queue of `MqRegion` gz. Empty: that of `SORDINO_MQ`.")
    mq_cd: SecretStr | None = Field(None, description="Message queue of `MqRegion` cd. Empty: that of `SORDINO_MQ`.")
    mq_hk: SecretStr | None = Field(None, description="Message queue of `MqRegion` hk. Empty: that of `SORDINO_MQ`.")
    denoiser: str = Field(
        DEFAULT_DENOISER,
        description="Engine of jobs that name none in `Model`: the name of any that is installed; a wrong one stops the program with the list of them. `off` removes nothing.",
    )
    model_dir: Path | None = Field(
        None, description="Directory with the model archives, in place of the ones the installed wheels carry."
    )
    cache_dir: Path | None = Field(
        None, description="Where prepared models are kept. Empty: the user's cache directory."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="`text`, `json`, or `auto`: text on a terminal, JSON otherwise."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @field_validator("tls_key")
    @classmethod
    def _has_a_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tls_certificate") is None:
            raise ValueError("set SORDINO_TLS_CERTIFICATE, too: a key is of use with its certificate only")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_a_postgresql_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_conninfo(value.get_secret_value()):
            raise ValueError(
                "write postgresql://user:password@host:port/database, "
                "with %40 for an @ in the password, %2F for a / and %25 for a %"
            )
        return value

    @field_validator("blobs_url")
    @classmethod
    def _is_a_store(cls, value: str | None) -> str | None:
        from obstore import parse_scheme  # noqa: PLC0415 - only whoever sets the URL waits for the import
        from obstore.exceptions import BaseError  # noqa: PLC0415

        if value is not None:
            try:
                store = parse_scheme(value)
            except (BaseError, ValueError):
                store = None
            if store == "memory":
                raise ValueError("API and workers are processes of their own and would each have another memory")
            if store not in _STORES:
                raise ValueError(
                    "write file:///directory, s3://bucket/prefix, az://container/prefix or gs://bucket/prefix"
                )
        return value

    @field_validator("secrets_key")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(_is_key(text) for text in value.get_secret_value().split(",")):
            raise ValueError("write 32 random bytes in URL-safe base64: openssl rand -base64 32 | tr +/ -_")
        return value

    @field_validator("default_bucket")
    @classmethod
    def _is_a_bucket(cls, value: str | None) -> str | None:
        if value is not None and split_bucket(value) is None:
            raise ValueError("write <name>-<APPID> in lower-case letters, digits and hyphens, such as music-1250000000")
        return value

    @field_validator("stalled_seconds")
    @classmethod
    def _is_several_beats(cls, value: float, info: ValidationInfo) -> float:
        heartbeat = info.data.get("heartbeat_seconds", 0.0)
        if value < BEATS_OF_SILENCE * heartbeat:
            raise ValueError(f"must be at least {BEATS_OF_SILENCE} x SORDINO_HEARTBEAT_SECONDS, which is {heartbeat:g}")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _is_a_list_of_origins(cls, value: str) -> str:
        Cors.of_origins(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _is_a_list_of_networks(cls, value: str) -> str:
        parse_networks(value)
        return value

    @field_validator("callback_allow")
    @classmethod
    def _is_a_list_of_networks_and_hosts(cls, value: str) -> str:
        Allowed.parse(value)
        return value

    @field_validator("mq", *(f"mq_{region}" for region in MQ_REGIONS))
    @classmethod
    def _is_a_message_queue(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_driver(value.get_secret_value())
        return value

    @field_validator("denoiser")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        if value not in names():
            raise ValueError(f"the installed engines are: {', '.join(names())}")
        return value

    @property
    def allowance(self) -> Allowance:
        """What accounts may ask for that have no limits of their own."""
        hours = self.account_audio_hours
        return Allowance(
            requests_per_second=self.requests_per_second,
            queued_jobs=self.account_queued_jobs,
            audio_seconds=None if hours is None else round(hours * 3600),
        )

    @property
    def blobs(self) -> str:
        """The blob store's URL, with the default filled in."""
        return self.blobs_url or (self.data.absolute() / "blobs").as_uri()

    @property
    def secrets_keys(self) -> tuple[str, ...]:
        """The keys of ``secrets_key``, the one that encrypts first; none when they are in the file."""
        return tuple(self.secrets_key.get_secret_value().split(",")) if self.secrets_key else ()

    @property
    def mq_drivers(self) -> dict[str, MqDriver]:
        """The message queue of each region."""
        own = {region: getattr(self, f"mq_{region}") for region in MQ_REGIONS}
        return {region: parse_driver((value or self.mq).get_secret_value()) for region, value in own.items()}

    @property
    def tls_files(self) -> tuple[Path, Path]:
        """The certificate's file and its key's, with the defaults filled in."""
        if self.tls_certificate is not None:
            return self.tls_certificate, self.tls_key or self.tls_certificate
        directory = self.data.absolute() / TLS
        return directory / SERVER_CERTIFICATE, directory / SERVER_KEY


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """The names in an environment that look like settings and are none, sorted: misspelt, or of another version."""
    known = _ROOT_KEY | {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX) and name.upper() not in known and not name.startswith(_TESTS)
    )


def _is_key(text: str) -> bool:
    try:
        return len(urlsafe_b64decode(text)) == KEY_BYTES
    except ValueError:
        return False


def _is_conninfo(text: str) -> bool:
    from psycopg import ProgrammingError  # noqa: PLC0415 - only whoever sets the URL waits for the import
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        parts = conninfo_to_dict(text)
    except ProgrammingError:
        return False
    # An "@" or "/" as it is in a password makes its end a part of the host or the database, which error messages name.
    return "://" not in text or "@" not in f"{parts.get('host')} {parts.get('dbname')}"
