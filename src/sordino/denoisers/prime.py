"""A beginning that the engine has heard before."""

import numpy as np
from numpy.typing import NDArray

from sordino.denoisers import DenoiserStream

FADE = 4800
"""Samples at the end of what is heard before that fade out: a sudden end would ring into the beginning."""

_Samples = NDArray[np.float32]


class Primed:
    """A stream whose engine hears the beginning of the recording once before the recording.

    A call begins with what nobody knows; a file is known. What the engine remembers (recurrent state, running means)
    is thus that of somebody who listens for a while already. A recording shorter than the beginning is repeated.

    Args:
        stream: the engine's.
        samples: length of the beginning, 1 or more.
        channels: number of channels.
    """

    def __init__(self, stream: DenoiserStream, *, samples: int, channels: int) -> None:
        self._stream = stream
        self._samples = samples
        self._channels = channels
        self._start()

    def _start(self) -> None:
        self._beginning: list[_Samples] | None = []
        self._dropped = 0

    def push(self, block: _Samples) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.push`."""
        if self._beginning is None:
            return self._wanted(self._stream.push(block))
        self._beginning.append(block)
        return self._begin() if sum(map(len, self._beginning)) >= self._samples else block[:0]

    def flush(self) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.flush`."""
        output = np.concatenate((self._begin(), self._wanted(self._stream.flush())))
        self._start()
        return output

    def _begin(self) -> _Samples:
        """Let the engine hear the beginning, then what is there of the recording."""
        known = np.concatenate(self._beginning or [np.zeros((0, self._channels), np.float32)])
        self._beginning = None
        if not len(known):
            return known
        heard = self._wanted(self._stream.push(self._heard(known)))
        return np.concatenate((heard, self._wanted(self._stream.push(known))))

    def _heard(self, known: _Samples) -> _Samples:
        """What the engine hears before; of a short recording repetitions, of which the last is whole."""
        start = 0 if len(known) >= self._samples else -self._samples
        heard = known[np.arange(start, start + self._samples) % len(known)]
        fade = np.linspace(1, 0, min(FADE, self._samples), dtype=np.float32)[:, None]
        heard[-len(fade) :] *= fade
        return heard

    def _wanted(self, output: _Samples) -> _Samples:
        """The part of the output that belongs to the recording."""
        dropped = min(self._samples - self._dropped, len(output))
        self._dropped += dropped
        return output[dropped:]
