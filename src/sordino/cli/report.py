"""The report of a run, for people and for programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sordino.audio.order import Report, SoundQuality


def as_json(report: "Report") -> str:
    """The report as a JSON object on one line; null is what is not known."""
    return json.dumps(asdict(report)) + "\n"


def as_table(report: "Report") -> str:
    """The sound quality before and after, a line a value."""
    assert report.before is not None
    assert report.after is not None
    lines = [("", "before", "after"), *zip(_names(), _values(report.before), _values(report.after), strict=True)]
    return "".join(f"{name:<22}{before:>9}{after:>9}\n" for name, before, after in lines if {before, after} != {"-"})


def _names() -> tuple[str, ...]:
    return (
        "noise floor, dBFS",
        "SNR (estimate), dB",
        "loudness, LUFS",
        "clipped, %",
        "DNSMOS signal",
        "DNSMOS background",
        "DNSMOS overall",
    )


def _values(quality: "SoundQuality") -> Iterator[str]:
    for value in (quality.noise_floor, quality.snr, quality.loudness):
        yield "-" if value is None else f"{value:.1f}"
    yield f"{100 * quality.clipped:.3f}"
    scores = quality.dnsmos
    for score in (None, None, None) if scores is None else (scores.signal, scores.background, scores.overall):
        yield "-" if score is None else f"{score:.2f}"
