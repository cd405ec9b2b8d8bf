"""What the commands of ``sordino admin`` share: the service that runs, its arguments, tables."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sordino.cli.start import fail

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sordino.settings import Settings

T = TypeVar("T")
C = TypeVar("C")

Data = Annotated[Path | None, typer.Option("--data", help="The service's data directory. [SORDINO_DATA]")]
BucketName = Annotated[str, typer.Argument(help="Full name of the bucket, `<name>-<APPID>`.", metavar="BUCKET")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]
JsonArray = Annotated[bool, typer.Option("--json", help="Print a JSON array.")]


def run_with(open_cases: "Callable[[], AbstractAsyncContextManager[C]]", use: "Callable[[C], Awaitable[T]]") -> T:
    """Do something with use cases of the service that runs; a refusal ends the program with its message."""
    import asyncio

    from sordino.bootstrap import NoDatabaseError
    from sordino.domain.ports import DatabaseUnavailableError, VaultError
    from sordino.errors import ServiceError

    async def work() -> T:
        async with open_cases() as cases:
            return await use(cases)

    try:
        return asyncio.run(work())
    except ServiceError as refusal:
        fail(refusal.message)
    except (NoDatabaseError, VaultError) as error:
        fail(str(error))
    except DatabaseUnavailableError as error:
        fail(f"the database does not answer: {error}")


def with_database(settings: "Settings") -> "Settings":
    """With the database of the embedded server, when no other is set."""
    from pydantic import SecretStr

    from sordino.adapters.postgres.embedded import EmbeddedPostgresError, find_running

    if settings.database_url is not None:
        return settings
    try:
        dsn = find_running(settings.data)
    except EmbeddedPostgresError as error:
        fail(str(error))
    if dsn is None:
        fail(
            f"no service runs on {settings.data}: start it with `sordino serve`, name its directory with --data, "
            "or its database with SORDINO_DATABASE_URL"
        )
    return settings.model_copy(update={"database_url": SecretStr(dsn)})


def harmless(text: str) -> str:
    """The text without what a terminal would obey, or take for another line: clients name objects as they like."""
    return text if text.isprintable() else repr(text)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, whose lines break on a terminal alone; its cells are harmless."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None)
    for cells in rows:
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    console = Console()
    # Not a terminal but a file or pipe: nobody is there whose lines would break.
    width = None if console.is_terminal else 400
    Console(width=width).print(table)
