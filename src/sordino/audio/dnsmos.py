"""DNSMOS P.835: what listeners would say, predicted by a network.

Reddy, Gopal, Cutler: "DNSMOS P.835: A non-intrusive perceptual objective speech quality metric to evaluate noise
suppressors", ICASSP 2022. The model is a file of the wheel ``speechmos``, which is never imported; a window of it takes
as long as denoising half a minute or more, so that only a few are scored.
"""

from collections.abc import Mapping, Sequence
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

    def windows(self) -> dict[int, _Window]:
        """The windows at RATE by where they begin, seconds: of a recording shorter than one, itself, repeated."""
        if self._windows or not self._filled:
            return self._windows
        short = self._excerpt()
        return {0: np.tile(short, -(-WINDOW // len(short)))[:WINDOW]} if len(short) else {}

    def _fill(self, taken: Block) -> None:
        self._filling.append(taken)
        self._filled += len(taken)
        if self._filled == self._size:
            self._windows[self._start] = self._excerpt()[:WINDOW]
            self._filling, self._filled = [], 0
            self._thin_out()
            self._start += self._stride

    def _thin_out(self) -> None:
        if len(self._windows) > KEPT:
            self._stride *= 2
            self._windows = {at: window for at, window in self._windows.items() if at % self._stride == 0}
            self._start = max(self._windows)

    def _excerpt(self) -> _Window:
        import soxr  # noqa: PLC0415 (the few who score pay for it)

        samples = np.concatenate(self._filling)
        loudest = samples[:, int(np.square(samples).sum(axis=0).argmax())]
        excerpt: _Window = soxr.resample(np.ascontiguousarray(loudest), self._rate, RATE, quality="HQ")
        return excerpt


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


def compare(
    before: Mapping[int, _Window], after: Mapping[int, _Window], count: int
) -> tuple[Dnsmos | None, Dnsmos | None]:
    """Score a recording before and after, by ``count`` windows of the same times.

    Returns:
        None for either where there is nothing to score or no network to do it.
    """
    scorer = load() if count else None
    places = spread(sorted(before.keys() & after.keys()), count)
    if scorer is None or not places:
        return None, None
    return scorer.score([before[place] for place in places]), scorer.score([after[place] for place in places])


def spread(places: Sequence[int], count: int) -> list[int]:
    """``count`` of the places, evenly spread; all if they are fewer."""
    count = min(count, len(places))
    return [places[(2 * number + 1) * len(places) // (2 * count)] for number in range(count)]
