"""The level of the speech, brought to where an engine hears best before it, and back after it.

DeepFilterNet's features have a floor: what is quiet enough, it takes for silence and erases. The gain follows the level
of the speech, which is read from what comes: the loud parts of a long window, so that pauses do not count.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from sordino.denoisers import DenoiserStream
from sordino.denoisers.block import sanitised

TARGET_DB = -12.0
"""Level that speech is brought to, dBFS."""
PERCENTILE = 95
"""Of the levels of the window's frames, the one that counts: syllables, not pauses."""
FRAME_SECONDS = 0.02
FRAMES = 25
"""Frames of a step, 0.5 s; between two steps the level is read."""
PAST_STEPS = 20
"""Steps of the window before the reading, 10 s: only a pause longer than the window raises the gain."""
COMING_STEPS = 10
"""Steps of the window after it, 5 s, so that the gain is there before the speech."""
SMOOTHED = 4
"""Readings of which the gain is the mean; between two steps it moves linearly in dB."""
SILENCE = 1e-12
"""Mean square under which a frame is digital silence and has no level: -120 dBFS."""

_DB_OF_DOUBLE = 20 * np.log10(2)

_Samples = NDArray[np.float32]


class Gain:
    """The gain over time, drawn through one point a step; for each channel its own, or one for all.

    Args:
        step: samples of a step.
        channels: number of channels.
        linked: whether all channels have one gain, that of the loudest.
    """

    def __init__(self, step: int, *, channels: int, linked: bool) -> None:
        self._step = step
        self._channels = channels
        self._linked = linked
        self._powers: deque[NDArray[np.float64]] = deque(maxlen=PAST_STEPS + COMING_STEPS)
        self._levels: deque[NDArray[np.float64]] = deque(maxlen=SMOOTHED)
        self._points: list[_Samples] = []
        self._pieces: dict[int, _Samples] = {}  # drawn before the engine, taken again after it
        self._ramp = np.arange(step, dtype=np.float32)[:, None] / np.float32(step)
        self._forgotten = 0
        self._measured = 0

    @property
    def known(self) -> int:
        """Samples from the start of the recording whose gain is known."""
        return max(0, self._read_points - 1) * self._step

    @property
    def _read_points(self) -> int:
        return self._forgotten + len(self._points)

    def measure(self, samples: _Samples) -> None:
        """Take the next step's samples, float32, shape (samples, channels); only the last step may be shorter."""
        frame = self._step // FRAMES
        frames = np.pad(samples, ((0, -len(samples) % frame), (0, 0))).reshape(-1, frame, self._channels)
        powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
        self._powers.append(powers.max(axis=1, keepdims=True) if self._linked else powers)
        self._measured += 1
        if self._measured >= COMING_STEPS:
            self._read()

    def finish(self) -> None:
        """Read what is left after the last step, with what there is of the window."""
        while self._read_points <= self._measured:
            while len(self._powers) > PAST_STEPS + self._measured - self._read_points:
                self._powers.popleft()
            self._read()

    def _read(self) -> None:
        window = np.concatenate(self._powers)
        levels = self._levels[-1].copy() if self._levels else np.full(window.shape[1], TARGET_DB)
        for kind, powers in enumerate(window.T):
            heard = powers[powers > SILENCE]
            if len(heard):
                levels[kind] = 10 * np.log10(np.percentile(heard, PERCENTILE))
        self._levels.append(levels)
        self._points.append(((TARGET_DB - np.mean(self._levels, axis=0)) / _DB_OF_DOUBLE).astype(np.float32))

    def between(self, start: int, stop: int) -> _Samples:
        """The gain of samples ``start`` to ``stop``, which are known; float32, shape (samples, channels or 1)."""
        first = start // self._step
        pieces = [self._piece(step) for step in range(first, -(-stop // self._step))]
        return np.concatenate(pieces or [np.ones((0, 1), np.float32)])[start - first * self._step :][: stop - start]

    def _piece(self, step: int) -> _Samples:
        if step not in self._pieces:
            before, after = self._points[step - self._forgotten : step - self._forgotten + 2]
            piece = self._ramp * (after - before)
            piece += before
            self._pieces[step] = np.exp2(piece, out=piece)
        return self._pieces[step]

    def forget(self, stop: int) -> None:
        """Forget the gain of the samples before ``stop``."""
        steps = stop // self._step
        for step in range(self._forgotten, steps):
            del self._pieces[step]
        del self._points[: steps - self._forgotten]
        self._forgotten = steps


class Levelled:
    """A stream whose engine gets speech at `TARGET_DB`, and whose output is at the input's level again.

    Scaling the input scales the output and does nothing else.

    Args:
        stream: the engine's.
        rate: Hz.
        channels: number of channels.
        linked: whether they have one gain.
    """

    def __init__(self, stream: DenoiserStream, *, rate: int, channels: int, linked: bool) -> None:
        self._stream = stream
        self._step = round(rate * FRAME_SECONDS) * FRAMES
        self._channels = channels
        self._linked = linked
        self._start()

    def _start(self) -> None:
        self._gain = Gain(self._step, channels=self._channels, linked=self._linked)
        self._unmeasured = np.zeros((0, self._channels), np.float32)
        self._waiting: deque[_Samples] = deque()  # measured steps whose gain is not yet known
        self._taken = 0
        self._given = 0

    def push(self, block: _Samples) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.push`."""
        samples = np.concatenate((self._unmeasured, sanitised(block, self._channels)))
        whole = len(samples) // self._step * self._step
        self._unmeasured = samples[whole:]
        outputs = [np.zeros((0, self._channels), np.float32)]
        for start in range(0, whole, self._step):
            self._measure(samples[start : start + self._step])
            outputs += self._advance()
        return np.concatenate(outputs)

    def flush(self) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.flush`."""
        if len(self._unmeasured):
            self._measure(self._unmeasured)
        if self._waiting:
            self._gain.finish()
        output = np.concatenate((*self._advance(), self._restored(self._stream.flush())))
        self._start()
        return output

    def _measure(self, samples: _Samples) -> None:
        self._gain.measure(samples)
        self._waiting.append(samples)

    def _advance(self) -> list[_Samples]:
        """Hand on the steps whose gain is known; what the engine gives back, at the old level."""
        outputs = []
        while self._waiting and self._taken < self._gain.known:
            samples = self._waiting.popleft()
            raised = samples * self._gain.between(self._taken, self._taken + len(samples))
            self._taken += len(samples)
            outputs.append(self._restored(self._stream.push(raised)))
        return outputs

    def _restored(self, raised: _Samples) -> _Samples:
        start, self._given = self._given, self._given + len(raised)
        output: _Samples = raised / self._gain.between(start, self._given)
        self._gain.forget(self._given)
        return output
