"""What commands of the service begin and end with: settings, logging, a message."""

from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from sordino.settings import Settings


def read_settings(**options: object) -> "Settings":
    """Settings from the environment and the options that were given; also starts logging."""
    from pydantic import ValidationError

    from sordino import logs
    from sordino.settings import SECRETS, Settings

    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(str(part) for part in fault["loc"])
            value = "" if name in SECRETS else f" (it is {fault['input']!r})"
            typer.echo(
                f"sordino: SORDINO_{name.upper()}: {fault['msg'].removeprefix('Value error, ')}{value}", err=True
            )
        raise typer.Exit(2) from None
    logs.configure(settings.log_format, settings.log_level)
    return settings


def fail(message: str) -> NoReturn:
    """End the command with a message."""
    typer.echo(f"sordino: {message}", err=True)
    raise typer.Exit(1)
