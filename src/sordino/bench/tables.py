"""The figures as tables for the terminal."""

from collections.abc import Mapping
from typing import Final

from rich.table import Table

from sordino.bench.memory import Memory
from sordino.bench.scaling import Scaling
from sordino.bench.scores import METRICS, Scores
from sordino.bench.sound import ALL, CLEAN, Gain, Results
from sordino.bench.speed import Passage, Speed, Start

_NONE: Final = "-"
_DIGITS: Final = {"pesq": 2, "stoi": 3, "si_sdr": 1, "signal": 2, "background": 2, "overall": 2}


def sound(results: Results) -> Table:
    """The mean scores by rate, SNR and engine, the best engine's of each group in bold; ``all`` is over the SNRs."""
    table = _table("Mean scores at 16 kHz", "rate, Hz", "SNR, dB", "files", "engine", *METRICS.values())
    for rate in results.rates:
        of_rate = results.where(rate=rate)
        for snr in of_rate.snrs:
            _group(table, str(rate), f"{snr:g}", of_rate.where(snr=snr))
        _group(table, str(rate), ALL, of_rate)
    return table


def _group(table: Table, rate: str, snr: str, results: Results) -> None:
    scores = {engine: results.where(engine=engine).mean() for engine in results.engines}
    best = {metric: max(getattr(s, metric) for name, s in scores.items() if name != CLEAN) for metric in METRICS}
    for number, (engine, one) in enumerate(scores.items()):
        cells = [
            _score(one, metric, bold=engine != CLEAN and getattr(one, metric) == best[metric]) for metric in METRICS
        ]
        first = (rate, snr, str(results.recordings)) if number == 0 else ("", "", "")
        table.add_row(*first, engine, *cells)
    table.add_section()


def _score(scores: Scores, metric: str, *, bold: bool) -> str:
    text = f"{getattr(scores, metric):.{_DIGITS[metric]}f}"
    return f"[bold]{text}[/]" if bold else text


def gains(over: str, found: Mapping[str, Mapping[int, Mapping[str, Gain]]]) -> Table:
    """By how much engines score more than one of them, with the standard error of the mean; by engine and rate."""
    title = f"Mean gain over {over} on the same recordings, ± standard error"
    table = _table(title, "rate, Hz", "engine", *METRICS.values())
    for engine, by_rate in found.items():
        for rate, by_metric in by_rate.items():
            table.add_row(str(rate), engine, *(_gain(gain, _DIGITS[metric]) for metric, gain in by_metric.items()))
    return table


def _gain(gain: Gain, digits: int) -> str:
    return f"{gain.mean:+.{digits}f} ± {gain.error:.{digits}f}"


def speed(seconds: float, rounds: int, speeds: Mapping[str, Speed]) -> Table:
    """How fast engines are with recordings of one length."""
    table = _table(
        f"{seconds:g} s of audio, median of {rounds} rounds, one thread each",
        "engine",
        "audio s / CPU s",
        "real-time factor",
        "times the fastest public DFN3",
        "share of matrix rate",
    )
    for name, found in speeds.items():
        table.add_row(
            name,
            f"{found.per_cpu_second:.1f}",
            f"{1 / found.per_cpu_second:.4f}",
            _NONE if found.ratio is None else f"{found.ratio:.2f}",
            _NONE if found.share is None else f"{found.share:.0%}",
        )
    return table


def costs(peaks: Mapping[str, int], work: Mapping[str, float], starts: Mapping[str, Start]) -> Table:
    """What engines take besides time: memory, operations, and the start of the command.

    Args:
        peaks: bytes by engine.
        work: floating point operations for a second of audio, by engine.
        starts: by engine.
    """
    table = _table(
        "Memory, arithmetic and start", "engine", "peak memory, MB", "GFLOP / audio s", "start, s", "start, CPU s"
    )
    for name, peak in peaks.items():
        start = starts.get(name)
        table.add_row(
            name,
            f"{peak / 1e6:.0f}",
            f"{work[name] / 1e9:.2f}" if name in work else _NONE,
            f"{start.wall:.2f}" if start else _NONE,
            f"{start.cpu:.2f}" if start else _NONE,
        )
    return table


def passages(seconds: float, found: Mapping[str, Mapping[str, Passage]]) -> Table:
    """The whole path beside the bare engine, by engine and suffix of the file."""
    table = _table(
        f"Whole path, decode to encode, {seconds:g} s at 48 kHz to WAV at 16 kHz",
        "engine",
        "file",
        "audio s / CPU s",
        "times the bare engine's CPU time",
    )
    for engine, by_suffix in found.items():
        for suffix, passage in by_suffix.items():
            table.add_row(engine, suffix.removeprefix("."), f"{passage.per_cpu_second:.1f}", f"{passage.ratio:.2f}")
    return table


def memory(denoiser: str, found: Memory) -> Table:
    """Peak memory of the short and the long recording."""
    table = _table(f"Whole path with {denoiser}, MP3 to MP3", "audio, min", "peak memory, MB")
    for seconds, peak in zip(found.seconds, found.peak, strict=True):
        table.add_row(f"{seconds / 60:.0f}", f"{peak / 1e6:.1f}")
    table.add_section()
    table.add_row("ratio", f"{found.ratio:.3f}")
    return table


def scaling(denoiser: str, found: Scaling) -> Table:
    """Jobs one after the other and at once."""
    table = _table(f"{found.processes} jobs with {denoiser} in media processes", "", "wall time, s")
    table.add_row("one after the other", f"{found.alone:.2f}")
    table.add_row("all at once", f"{found.together:.2f}")
    table.add_section()
    table.add_row("ratio", f"{found.ratio:.2f}")
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    for heading in headings:
        name = heading in ("engine", "file", "")
        table.add_column(heading, justify="left" if name else "right", no_wrap=name)
    return table
