"""DNSMOS P.835: what listeners would say, predicted by a network.

Reddy, Gopal, Cutler: "DNSMOS P.835: A non-intrusive perceptual objective speech quality metric to evaluate noise
suppressors", ICASSP 2022. The model is a file of the wheel ``speechmos``, which is never imported; a window of it takes
as long as denoising a quarter of a minute, so that only a few are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sordino.audio.blocks import Block
from sordino.audio.order import Dnsmos

if TYPE_CHECKING:
    import onnxruntime as ort

WHEEL: Final = "speechmos"
MODEL: Final = "speechmos/dnsmos_models/sig_bak_ovr.onnx"
RATE: Final = 16_000
WINDOW: Final = 144_160
"""Samples the network listens to at once; 9.01 s."""
KEPT: Final = 4
"""Most windows of a recording that are kept, and scored."""
FIRST_STRIDE: Final = 10
"""Seconds between the windows kept of a short recording; doubled as it goes on."""

# From the model's raw outputs to the scale of the listeners, highest power first: SIG, BAK, OVRL.
_CORRECTIONS: Final = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)

_Window = NDArray[np.float32]


class Excerpts:
    """Windows spread over a stream whose length is not known, at most KEPT of them.

    One begins every FIRST_STRIDE seconds; when they are too many, every second one goes, and the stride doubles. Of
    several channels a window holds the loudest.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._size = -(-WINDOW * rate // RATE)
        self._stride = FIRST_STRIDE
        self._start = 0  # of the window that is being filled or comes next, seconds
        self._position = 0
        self._filling: list[Block] = []
        self._filled = 0
        self._windows: dict[int, _Window] = {}

    def push(self, block: Block) -> None:
        """Take (samples, channels)."""
        while len(block):
            wanted = self._start * self._rate + self._filled
            skipped = block[max(0, wanted - self._position) :]
            taken = skipped[: self._size - self._filled]
            self._position += len(block) - len(skipped) + len(taken)
            block = skipped[len(taken) :]
            if len(taken):
                self._fill(taken)

    def places(self) -> tuple[int, ...]:
        """Where windows begin, seconds, rising: of a recording shorter than one, at 0."""
        return tuple(self._windows) or ((0,) if self._filled else ())

    def window(self, place: int) -> _Window:
        """One of the windows, WINDOW samples at RATE; of a recording shorter than one, itself, repeated."""
        import soxr  # noqa: PLC0415 (the few who score pay for it)

        kept = self._windows[place] if self._windows else self._loudest()
        window: _Window = soxr.resample(kept, self._rate, RATE, quality="HQ")
        return np.resize(window, WINDOW)

    def _fill(self, taken: Block) -> None:
        self._filling.append(taken)
        self._filled += len(taken)
        if self._filled == self._size:
            self._windows[self._start] = self._loudest()
            self._filling, self._filled = [], 0
            self._thin_out()
            self._start += self._stride

    def _thin_out(self) -> None:
        if len(self._windows) > KEPT:
            self._stride *= 2
            self._windows = {at: window for at, window in self._windows.items() if at % self._stride == 0}
            self._start = max(self._windows)

    def _loudest(self) -> _Window:
        """Of what fills the window the channel with the most power."""
        samples = np.concatenate(self._filling)
        return np.ascontiguousarray(samples[:, np.einsum("sc,sc->c", samples, samples).argmax()])


@dataclass(frozen=True, slots=True)
class Scorer:
    """The loaded network."""

    session: "ort.InferenceSession"

    def score(self, windows: Sequence[_Window]) -> Dnsmos:
        """The mean scores of windows of WINDOW samples at RATE; at least one."""
        name = self.session.get_inputs()[0].name
        raw = np.array([self.session.run(None, {name: window[np.newaxis]})[0][0] for window in windows])
        scores = [np.polyval(correction, raw[:, column]).mean() for column, correction in enumerate(_CORRECTIONS)]
        return Dnsmos(signal=float(scores[0]), background=float(scores[1]), overall=float(scores[2]))


@cache
def load() -> Scorer | None:
    """The network, loaded once a process; None unless the extra ``quality`` is installed."""
    path = find_model()
    if path is None:
        return None
    import onnxruntime as ort  # noqa: PLC0415 (as above)

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return Scorer(ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))


@cache
def find_model() -> Path | None:
    """The model's file, looked for once a process; None where the wheel is not installed or lacks it."""
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415 (slow to import)

    try:
        path = Path(str(distribution(WHEEL).locate_file(MODEL)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def compare(before: Excerpts, after: Excerpts, count: int) -> tuple[Dnsmos | None, Dnsmos | None]:
    """Score a recording before and after, by ``count`` windows of the same times.

    Returns:
        None for either where there is nothing to score or no network to do it.
    """
    scorer = load() if count else None
    places = spread([place for place in before.places() if place in after.places()], count)
    if scorer is None or not places:
        return None, None
    scores = (scorer.score([side.window(place) for place in places]) for side in (before, after))
    return next(scores), next(scores)


def spread(places: Sequence[int], count: int) -> list[int]:
    """``count`` of the places, evenly spread; all if they are fewer."""
    count = min(count, len(places))
    return [places[(2 * number + 1) * len(places) // (2 * count)] for number in range(count)]
