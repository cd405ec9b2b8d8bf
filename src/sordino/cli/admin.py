"""``sordino admin``: what whoever runs a service does to it, on its machine and without a key of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sordino.cli import admin_mount
from sordino.cli.admin_account import account_app
from sordino.cli.admin_audit import audit
from sordino.cli.admin_bucket import bucket_app
from sordino.cli.admin_bucket_policy import bucket_policy_app
from sordino.cli.admin_job import job_app
from sordino.cli.admin_key import key_app
from sordino.cli.admin_policy import policy_app
from sordino.cli.admin_queue import queue_app
from sordino.cli.admin_role import role_app
from sordino.cli.admin_session import session_app
from sordino.cli.admin_token import token_app
from sordino.cli.admin_user import group_app, user_app
from sordino.cli.operate import Data
from sordino.cli.start import fail, read_settings

if TYPE_CHECKING:
    from sordino.adapters.certificates import Names
    from sordino.adapters.tls_directory import Made

DEFAULT_DAYS = 730
MAX_DAYS = 825
"""Apple's systems take no certificate that lasts longer."""

app = typer.Typer(
    help="Administer a service: its certificate, who may do what, buckets, queues and jobs.", no_args_is_help=True
)
app.add_typer(account_app, name="account")
app.add_typer(user_app, name="user")
app.add_typer(group_app, name="group")
app.add_typer(key_app, name="key")
app.add_typer(policy_app, name="policy")
app.add_typer(role_app, name="role")
app.add_typer(session_app, name="session")
app.add_typer(token_app, name="token")
app.command("audit")(audit)
app.add_typer(queue_app, name="queue")
app.add_typer(job_app, name="job")
admin_mount.add_to(bucket_app)
bucket_app.add_typer(bucket_policy_app, name="policy")
app.add_typer(bucket_app, name="bucket")


@app.callback()
def _group() -> None:
    """Administer a service: its certificate, who may do what, buckets, queues and jobs."""


@app.command()
def tls(
    region: Annotated[
        list[str] | None,
        typer.Option(help="Region of the cloud's host names to vouch for; repeatable. By default SORDINO_REGION."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Further host name, IP address or wildcard such as `*.cos.sound.example`; repeatable.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=MAX_DAYS, help="How long the server's certificate lasts, days.")
    ] = DEFAULT_DAYS,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew",
            help="Make a new server certificate by the authority that is there, so that clients need nothing new; "
            "for the same names, if none are given.",
        ),
    ] = False,
    data: Data = None,
) -> None:
    """Make a certificate for HTTPS, and an authority of one's own that clients can trust.

    It is for the host names that SDKs use in the region and for this machine. They lie in `tls` in the data directory;
    `sordino serve --tls-port 8443` serves with them. The authority can vouch for these names, and names below
    them, alone.
    """
    from datetime import UTC, datetime

    from sordino.adapters.certificates import CertificateError, Names, cloud_hosts
    from sordino.adapters.tls_directory import create
    from sordino.adapters.tls_directory import renew as renew_certificate

    settings = read_settings(data=data)
    now = datetime.now(UTC)
    try:
        names = Names.parse([*cloud_hosts(region or [settings.region]), *(host or [])])
        if not renew:
            made = create(settings.data, names, now, days)
        else:
            made = renew_certificate(settings.data, names if region or host else None, now, days)
    except CertificateError as error:
        fail(str(error))
    typer.echo(_told(made))
    typer.echo(_TAKEN if renew else _trust(made.directory))


_TAKEN = "A service that runs takes it within seconds. Clients need nothing new."


def _told(made: "Made") -> str:
    names = "\n".join(f"  {name}" for name in _listed(made.names))
    return f"The certificate is in {made.directory}. It ends on {made.end:%Y-%m-%d} and is for\n{names}"


def _listed(names: "Names") -> Sequence[str]:
    return [*names.dns, *names.addresses]


def _trust(directory: Path) -> str:
    from sordino.adapters.tls_directory import CA

    ca = directory / CA
    return f"""\
Serve with it:
  sordino serve --tls-port 8443 --data {directory.parent}
Copy {ca} to the clients, which must trust it. It is no secret, and can
vouch for the names above, and names below them, alone.
  Python SDK  CosConfig(..., Scheme="https", VerifySSL="{CA}"), or REQUESTS_CA_BUNDLE={CA}
  Node        NODE_EXTRA_CA_CERTS={CA}
  Go          SSL_CERT_FILE={CA}, which stands in place of the system's list
  Java        keytool -importcert -noprompt -alias sordino -file {CA} -cacerts -storepass changeit
  PHP         curl.cainfo={CA} in php.ini, which stands in place of the system's list
  curl        --cacert {CA}"""
