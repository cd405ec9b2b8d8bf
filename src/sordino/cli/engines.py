"""``sordino engines``: what can remove noise here."""

import typer


def engines() -> None:
    """List the installed engines: licence, sample rate, look-ahead and arithmetic of each.

    Exit status: 0 all can be loaded, 1 one cannot; its line says why.
    """
    from rich.console import Console
    from rich.table import Table

    from sordino.audio.order import DEFAULT_DENOISER
    from sordino.denoisers import load, names
    from sordino.denoisers.weights import WeightsError

    table = Table("engine", "licence", "rate", "look-ahead", "GFLOP per second", box=None)
    missing = {}
    for name in names():
        try:
            info = load(name).info
        except WeightsError as error:
            missing[name] = str(error)
            continue
        shown = f"{name} (default)" if name == DEFAULT_DENOISER else name
        delay = f"{1000 * info.delay / info.rate:g} ms"
        table.add_row(shown, info.licence, f"{info.rate} Hz", delay, f"{info.flops / 1e9:.2f}")
    Console().print(table)
    for name, reason in missing.items():
        typer.echo(f"sordino: {name}: {reason}", err=True)
    if missing:
        raise typer.Exit(1)
