"""Scores of engines over the SNR, as a picture. The module imports matplotlib."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from sordino.bench.runtimes import RUNTIMES
from sordino.bench.scores import METRICS
from sordino.bench.sound import CLEAN, NOISY, Results

COLUMNS: Final = 3
_MARKS: Final = "osD^vP*X<>"
_DPI: Final = 110


def draw(path: Path, results: Results, title: str) -> None:
    """Write a PNG with one panel for each metric and sample rate: the mean score of every engine at every SNR.

    Args:
        path: file to write.
        results: those of one or more rates.
        title: what was measured.
    """
    rows = -(-len(METRICS) // COLUMNS)
    with mpl.rc_context({"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 3.9 * rows * len(results.rates) + 0.9), layout="constrained")
        figure.suptitle(title, fontsize=13)
        for part, rate in zip(
            figure.subfigures(len(results.rates), 1, squeeze=False)[:, 0], results.rates, strict=True
        ):
            part.suptitle(f"recordings at {rate / 1000:g} kHz, scored at 16 kHz", fontsize=11)
            grid = part.subplots(rows, COLUMNS, squeeze=False)
            for panel, metric in zip(grid.flat, METRICS, strict=False):
                _panel(panel, results.where(rate=rate), metric)
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 8), frameon=False)
        figure.savefig(path, dpi=_DPI)


def _panel(panel: Any, results: Results, metric: str) -> None:  # noqa: ANN401 - the package has no types
    for engine in results.engines:
        mine = results.where(engine=engine)
        # The clean recording has no distortion: its SI-SDR is beyond any scale.
        snrs = [] if engine == CLEAN and metric == "si_sdr" else mine.snrs
        scores = [getattr(mine.where(snr=snr).mean(), metric) for snr in snrs]
        panel.plot(snrs, scores, label=engine, markersize=5, **_style(engine, results.engines))
    panel.set_title(METRICS[metric], loc="left", fontweight="bold")
    panel.set_ylabel(_UNITS[metric])
    panel.set_xlabel("SNR of the recording, dB")
    panel.set_xticks(results.snrs)
    panel.grid(alpha=0.3)


def _style(engine: str, engines: list[str]) -> dict[str, Any]:
    """Ours as lines, public runtimes dashed, the anchors grey."""
    if engine in _ANCHORS:
        return _ANCHORS[engine]
    number = [name for name in engines if name not in _ANCHORS].index(engine) % len(_MARKS)
    return {
        "color": mpl.color_sequences["tab10"][number],
        "marker": _MARKS[number],
        "linestyle": "--" if engine in RUNTIMES else "-",
    }


_ANCHORS: Final[dict[str, dict[str, Any]]] = {
    NOISY: {"color": "0.35", "linestyle": ":", "linewidth": 1.8},
    CLEAN: {"color": "0.35", "linestyle": "-.", "linewidth": 1.2},
}
_UNITS: Final = {
    "pesq": "MOS, 1 to 4.64",
    "stoi": "share, 0 to 1",
    "si_sdr": "dB",
    "signal": "MOS, 1 to 5",
    "background": "MOS, 1 to 5",
    "overall": "MOS, 1 to 5",
}
