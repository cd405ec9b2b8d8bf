"""``sordino admin bucket mount`` and what belongs to it: buckets whose objects lie in other stores."""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from sordino.cli.administer import who_types
from sordino.cli.operate import BucketName, Data, JsonArray, print_table, run_with, with_database
from sordino.cli.start import fail, read_settings

if TYPE_CHECKING:
    from sordino.domain.mount import Mount
    from sordino.settings import Settings
    from sordino.storage.mounts import MountStore

T = TypeVar("T")

SECRET: Final = "SORDINO_MOUNT_SECRET"  # noqa: S105 - the variable's name


def add_to(bucket_app: typer.Typer) -> None:
    """Add the commands to those of buckets."""
    bucket_app.command("mount")(mount)
    bucket_app.command("unmount")(unmount)
    bucket_app.command("mounts")(mounts)


def mount(
    bucket: BucketName,
    url: Annotated[
        str,
        typer.Argument(
            help="Where its objects lie: `s3://bucket`, `cos://bucket-appid`, either with `/prefix`.", metavar="URL"
        ),
    ],
    access_key_id: Annotated[
        str, typer.Option("--access-key-id", help="Id of the key to sign with there (of COS: SecretId).")
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Address of a store that is not AWS's or Tencent's, such as `https://minio.example:9000`; "
            "http is not encrypted.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Region of the bucket there; of S3 us-east-1, if none is given.", show_default=False),
    ] = None,
    secret_file: Annotated[
        str | None,
        typer.Option(
            "--secret-file",
            help=f"File with the key's secret, `-`: standard input. By default {SECRET}, or else it is asked for.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Make a bucket whose objects lie in a bucket that you have in an S3-compatible store or in COS.

    It is looked at first. A bucket that is mounted already is mounted anew, with another key, say. The secret is kept
    encrypted; see SORDINO_SECRETS_KEY.
    """
    settings = read_settings(data=data)
    secret = _secret(secret_file)
    made = _run(
        settings,
        lambda cases: cases.mount(
            who_types(), bucket, url, endpoint=endpoint, region=region, access_key_id=access_key_id, secret=secret
        ),
    )
    typer.echo(f"{made.bucket} is mounted on {made.location.url} at {made.location.endpoint}.")


def unmount(bucket: BucketName, data: Data = None) -> None:
    """Forget a bucket that is mounted, with its queues, templates and ended jobs; its objects stay where they are."""
    _run(read_settings(data=data), lambda cases: cases.unmount(who_types(), bucket))
    typer.echo(f"{bucket} is not mounted any more. Its objects are where they were.")


def mounts(as_json: JsonArray = False, data: Data = None) -> None:
    """List the buckets that are mounted, and where their objects lie."""
    rows = [_row(found) for found in _run(read_settings(data=data), lambda cases: cases.list())]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        print_table(("bucket", "objects", "endpoint", "region", "key"), [tuple(row.values()) for row in rows])


def _row(found: "Mount") -> dict[str, str]:
    location = found.location
    return {
        "bucket": found.bucket,
        "url": location.url,
        "endpoint": location.endpoint,
        "region": location.region,
        "access_key_id": found.access_key_id,
    }


def _secret(file: str | None) -> str:
    """The secret, from where the command line says; never from the command line itself, which others can see."""
    if file is not None:
        secret = _read(file)
    else:
        secret = os.environ.get(SECRET, "")
        if not secret and sys.stdin.isatty():
            secret = typer.prompt("Secret", hide_input=True)
    if not secret.strip():
        fail(f"there is no secret: name its file with --secret-file FILE, or set {SECRET}")
    return secret.strip()


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"the secret cannot be read from {file}: {error}")


def _run(settings: "Settings", use: "Callable[[MountStore], Awaitable[T]]") -> T:
    from sordino.bootstrap import open_mounts
    from sordino.domain.ports import VaultError

    try:
        return run_with(lambda: open_mounts(with_database(settings)), use)
    except VaultError as error:
        fail(str(error))
