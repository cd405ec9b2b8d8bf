"""The command line: ``sordino COMMAND``. Commands import what they need when they run, so that each starts fast."""

import os
from typing import Annotated

# A process works on one core; the thread pools of NumPy and ONNX Runtime would fight over the others.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import typer  # noqa: E402 - the variables above must be set before anything that may import NumPy

# Under other names: those of the modules belong to the modules.
from sordino.cli.admin import app as admin_app  # noqa: E402
from sordino.cli.bench import app as bench_app  # noqa: E402
from sordino.cli.denoise import denoise as denoise_command  # noqa: E402
from sordino.cli.engines import engines as engines_command  # noqa: E402
from sordino.cli.serve import api, worker  # noqa: E402
from sordino.cli.serve import serve as serve_command  # noqa: E402
from sordino.version import __version__  # noqa: E402

app = typer.Typer(
    name="sordino",
    help="Audio noise reduction: on files here, or as a service that speaks Cloud Infinite's protocol.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (denoise_command, engines_command, serve_command, api, worker):
    app.command()(_command)
app.add_typer(admin_app, name="admin")
app.add_typer(bench_app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sordino {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point of the console script."""
    app()
