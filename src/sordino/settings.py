"""Every setting: type, unit, default, one line of help. The reference page docs/reference/settings.md is generated from here."""

import os
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_data() -> Path:
    """``/var/lib/sordino`` for root, the user's data directory otherwise (``~/.local/share/sordino`` on Linux)."""
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/sordino")
    return platformdirs.user_data_path("sordino")


class Settings(BaseSettings):
    """Read from the environment, ``SORDINO_`` before the upper-case name; command line options win over it."""

    model_config = SettingsConfigDict(env_prefix="SORDINO_", frozen=True, extra="forbid", env_ignore_empty=True)

    data: Path = Field(
        default_factory=default_data, description="Directory of the embedded database, the objects and the root key."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL server to use, `postgresql://user:password@host:port/database`. Empty: the embedded one.",
    )
    database_schema: str = Field(
        "sordino", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="PostgreSQL schema that holds the tables."
    )
    database_connections: PositiveInt = Field(8, description="Connections each process holds at most.")
    blobs_url: str | None = Field(
        None,
        description="Where the bytes of objects lie, as an obstore URL such as `file:///srv/blobs`. Empty: `blobs` in the data directory.",
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
    default_bucket: str | None = Field(None, description="Bucket of requests whose host and path name none.")
    ci_on_any_host: bool = Field(
        default=True,
        description="Take `/jobs`, `/template`, `/asrqueue` ... for CI calls on COS hosts too (the Python SDK's IP mode needs it); objects of these keys then cannot be reached through such a host.",
    )
    max_input_bytes: PositiveInt = Field(10 * 1024**2, description="Largest input object of a job, bytes.")
    max_input_seconds: PositiveFloat = Field(6 * 3600, description="Longest audio a job decodes, seconds.")
    max_object_bytes: PositiveInt = Field(5 * 1024**3, description="Largest object of one upload, bytes.")
    media_memory_bytes: PositiveInt = Field(
        2 * 1024**3, description="Address space the media process of a job may add, bytes."
    )
    media_cpu_seconds: PositiveInt = Field(3600, description="CPU time of the media process of a job, seconds.")
    job_attempts: PositiveInt = Field(3, description="How often a job is tried when the fault is the server's.")
    job_retry_seconds: PositiveInt = Field(2, description="Base of the exponential wait between those tries, seconds.")
    heartbeat_seconds: PositiveFloat = Field(2.0, description="How often a worker says that it lives, seconds.")
    stalled_seconds: PositiveFloat = Field(
        10.0, description="Silence after which a worker counts as dead and its job goes to another, seconds."
    )
    clock_skew_seconds: int = Field(300, ge=0, description="How far a client's clock may be ahead of ours, seconds.")
    denoiser: str = Field("dfn3", description="Engine that removes the noise: `dfn3` or `off`.")
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

    @property
    def blobs(self) -> str:
        """The blob store's URL, with the default filled in."""
        return self.blobs_url or (self.data.absolute() / "blobs").as_uri()
