"""The level of the speech, brought to where an engine hears best before it, and back after it.

DeepFilterNet's features have a floor: what is quiet enough, it takes for silence and erases. The gain follows the level
of the speech, which is read from what comes: the loud parts of a long window, so that pauses do not count. A constant
offset, which is no sound, would count as level and leak into the lowest bins: it is taken away.
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
LOUDEST, BELOW_LOUDEST_DB = 5, 10.0
"""Where the window holds a single word only, the level is that of its fifth loudest frame less 10 dB."""
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
"""Variance under which a frame is digital silence and has no level: -120 dBFS."""
OFFSET = 0.1
"""Offset by the level that is one: -20 dB. What is less is the chance of a short while."""

_DB_OF_DOUBLE = 20 * np.log10(2)

_Samples = NDArray[np.float32]


class Gain:
    """Gain and offset over time, drawn through one point a step.

    Args:
        step: samples of a step.
        channels: number of channels, which have one gain, that of the loudest, and each its own offset.
    """

    def __init__(self, step: int, channels: int) -> None:
        self._step = step
        self._channels = channels
        # Of each step's frames the variance in the loudest channel and the mean in each.
        self._window: deque[tuple[NDArray[np.float64], NDArray[np.float64]]] = deque(maxlen=PAST_STEPS + COMING_STEPS)
        self._readings: deque[NDArray[np.float64]] = deque(maxlen=SMOOTHED)  # level in dB, offsets
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
        # A frame that is cut short is filled with its last sample, which is no step of the wave.
        padded = np.pad(samples, ((0, -len(samples) % frame), (0, 0)), mode="edge")
        frames = padded.reshape(-1, frame, self._channels).astype(np.float64)
        self._window.append((frames.var(axis=1).max(axis=1), frames.mean(axis=1)))
        self._measured += 1
        if self._measured >= COMING_STEPS:
            self._read()

    def finish(self) -> None:
        """Read what is left after the last step, with what there is of the window."""
        while self._read_points <= self._measured:
            while len(self._window) > PAST_STEPS + self._measured - self._read_points:
                self._window.popleft()
            self._read()

    def _read(self) -> None:
        variances, means = (np.concatenate(parts) for parts in zip(*self._window, strict=True))
        heard = variances > SILENCE
        if heard.any():
            reading = _reading(variances[heard], means[heard])
        else:
            reading = self._readings[-1] if self._readings else np.array([TARGET_DB, *np.zeros(self._channels)])
        self._readings.append(reading)
        level, *offsets = np.mean(self._readings, axis=0)
        self._points.append(np.array([(TARGET_DB - level) / _DB_OF_DOUBLE, *offsets], np.float32))

    def between(self, start: int, stop: int) -> tuple[_Samples, _Samples]:
        """Gain and offset of the samples ``start`` to ``stop``, which are known.

        Returns:
            Both float32, shapes (samples, 1) and (samples, channels).
        """
        first = start // self._step
        pieces = [self._piece(step) for step in range(first, -(-stop // self._step))]
        drawn = np.concatenate(pieces or [np.ones((0, 1 + self._channels), np.float32)])
        drawn = drawn[start - first * self._step :][: stop - start]
        return drawn[:, :1], drawn[:, 1:]

    def _piece(self, step: int) -> _Samples:
        if step not in self._pieces:
            before, after = self._points[step - self._forgotten : step - self._forgotten + 2]
            piece = self._ramp * (after - before)
            piece += before
            np.exp2(piece[:, :1], out=piece[:, :1])
            self._pieces[step] = piece
        return self._pieces[step]

    def forget(self, stop: int) -> None:
        """Forget the gain of the samples before ``stop``."""
        steps = stop // self._step
        for step in range(self._forgotten, steps):
            del self._pieces[step]
        del self._points[: steps - self._forgotten]
        self._forgotten = steps


def _reading(variances: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level of a window, dB, and the offset of each channel, of frames that are not silent."""
    loudest = np.partition(variances, -min(LOUDEST, len(variances)))[-min(LOUDEST, len(variances))]
    power = max(np.percentile(variances, PERCENTILE), loudest * 10 ** (-BELOW_LOUDEST_DB / 10))
    offsets = np.median(means, axis=0)
    return np.array([10 * np.log10(power), *np.where(np.abs(offsets) > OFFSET * np.sqrt(power), offsets, 0.0)])


class Levelled:
    """A stream whose engine gets speech at `TARGET_DB` without offset, and whose output is at the input's level again.

    Scaling the input scales the output and does nothing else.

    Args:
        stream: the engine's.
        rate: Hz.
        channels: number of channels, which have one gain.
    """

    def __init__(self, stream: DenoiserStream, *, rate: int, channels: int) -> None:
        self._stream = stream
        self._step = round(rate * FRAME_SECONDS) * FRAMES
        self._channels = channels
        self._start()

    def _start(self) -> None:
        self._gain = Gain(self._step, self._channels)
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
            gain, offset = self._gain.between(self._taken, self._taken + len(samples))
            raised = (samples - offset) * gain
            self._taken += len(samples)
            outputs.append(self._restored(self._stream.push(raised)))
        return outputs

    def _restored(self, raised: _Samples) -> _Samples:
        start, self._given = self._given, self._given + len(raised)
        gain, _ = self._gain.between(start, self._given)
        output: _Samples = raised / gain
        self._gain.forget(self._given)
        return output
