"""Spectrograms of a recording before and after, one above the other."""

import io
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

WINDOW_SECONDS: Final = 0.032
HOP_SECONDS: Final = 0.008
QUIETEST_DBFS: Final = -110.0
LOUDEST_DBFS: Final = -35.0
"""Ends of the colour scale: the bins of a conversation at a usual level lie between them."""

_INK: Final = "#d9d9e3"
_PAPER: Final = "#0b0a14"
_RULE: Final = "#3a384c"
_SHADES: Final = 16
_LEVELS: Final = 76  # about one for every decibel


def spectrogram(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Short-time spectrum with a 32 ms Hann window every 8 ms.

    Args:
        samples: float32, shape (n,), full scale at -1.0 and 1.0.
        rate: Hz.

    Returns:
        float64, shape (bins, frames), bins from 0 to ``rate / 2``; the peak level of a sine in dB, 0 at full scale, not
        below `QUIETEST_DBFS`.
    """
    size, hop = round(WINDOW_SECONDS * rate), round(HOP_SECONDS * rate)
    # Mirrored at its ends: a step from silence would look like a click.
    padded = np.pad(samples, (size // 2, size), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(samples) + 1 : hop]
    window = np.hanning(size)
    magnitude = np.abs(np.fft.rfft(frames * window)).T * (2 / window.sum())
    levels: NDArray[np.float64] = 20 * np.log10(np.maximum(magnitude, 10 ** (QUIETEST_DBFS / 20)))
    return levels


def draw(path: Path, panels: dict[str, NDArray[np.float32]], rate: int, dpi: int = 110) -> None:
    """Write a PNG with the spectrogram of every panel, on one pair of axes and one colour scale.

    Args:
        path: file to write.
        panels: title to samples, float32, shape (n,).
        rate: sample rate of all of them, Hz.
        dpi: points to an inch of the picture, which is 12 inches wide and 3 a panel high.
    """
    with mpl.rc_context(
        {
            "font.size": 10.5,
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _RULE,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "figure.facecolor": _PAPER,
            "axes.facecolor": _PAPER,
        }
    ):
        figure = Figure(figsize=(12, 3 * len(panels)), layout="constrained")
        rows = figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (title, samples) in zip(rows, panels.items(), strict=True):
            image = axes.imshow(
                spectrogram(samples, rate),
                origin="lower",
                aspect="auto",
                interpolation="antialiased",
                cmap="magma",
                vmin=QUIETEST_DBFS,
                vmax=LOUDEST_DBFS,
                extent=(0, len(samples) / rate, 0, rate / 2000),
            )
            axes.set_title(title, loc="left", fontweight="bold")
            axes.set_ylabel("Frequency (kHz)")
        rows[-1].set_xlabel("Time (s)")
        bar = figure.colorbar(image, ax=rows, pad=0.01, fraction=0.03, label="Level (dBFS)", extend="both")
        bar.outline.set_visible(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=dpi)
    # A palette is enough for one colour scale and text, and makes a file of a third of the size.
    picture = Image.open(buffer).convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


def _palette() -> Image.Image:
    """The colours of the scale, and those between paper and ink: the same in every picture."""
    ends = np.array([mpl.colors.to_rgb(_PAPER), mpl.colors.to_rgb(_INK)])
    text = [ends[0] + share * (ends[1] - ends[0]) for share in np.linspace(0, 1, _SHADES)]
    scale = mpl.colormaps["magma"](np.linspace(0, 1, _LEVELS))[:, :3]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.round(255 * np.concatenate((text, scale))).astype(np.uint8).tobytes())
    return palette
