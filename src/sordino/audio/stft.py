"""Short-time Fourier transform with half-overlapping frames, over whole blocks, its overlap an explicit state."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def vorbis_window(size: int) -> NDArray[np.float32]:
    """The power-complementary window of the Vorbis I specification, section 4.3.1.

    Args:
        size: window length, samples; even.

    Returns:
        float32, shape (size,), range (0, 1]; ``window[n]**2 + window[n + size // 2]**2`` is 1.
    """
    phase = np.pi * (np.arange(size) + 0.5) / size
    return np.sin(np.pi / 2 * np.sin(phase) ** 2).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Stft:
    """Analysis and synthesis with the Vorbis window and a hop of half a frame.

    One after the other they delay by one hop and otherwise change nothing. Neither modifies its arguments, and the
    overlap of the next block is handed back, so any split of a signal into blocks of hops gives the same samples.

    Attributes:
        size: frame length, samples; even. A spectrum has ``size // 2 + 1`` bins, a hop ``size // 2`` samples.
    """

    size: int
    window: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", vorbis_window(self.size))

    @property
    def hop(self) -> int:
        """Distance between frames, samples."""
        return self.size // 2

    def silence(self, channels: int) -> NDArray[np.float32]:
        """The overlap before the first block: float32 zeros, shape (channels, hop)."""
        return np.zeros((channels, self.hop), np.float32)

    def analyse(
        self, samples: NDArray[np.float32], overlap: NDArray[np.float32]
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Transform a block; its first frame starts one hop before it.

        Args:
            samples: float32, shape (channels, frames * hop).
            overlap: float32, shape (channels, hop): the hop before the block.

        Returns:
            The spectrum, complex64, shape (channels, frames, size // 2 + 1), divided by ``size``, and the next overlap.
        """
        channels = len(samples)
        hops = np.concatenate((overlap, samples), axis=1).reshape(channels, -1, self.hop)
        frames = np.concatenate((hops[:, :-1], hops[:, 1:]), axis=2)
        frames *= self.window
        # NumPy 2 transforms single precision in single precision; the casts tell the type checker.
        spectrum = np.fft.rfft(frames, norm="forward").astype(np.complex64, copy=False)
        return spectrum, hops[:, -1].copy()

    def synthesise(
        self, spectrum: NDArray[np.complex64], overlap: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Turn a block of spectra back into samples, one hop late.

        Args:
            spectrum: complex64, shape (channels, frames, size // 2 + 1), scaled as by ``analyse``.
            overlap: float32, shape (channels, hop): what the last frame of the block before left over.

        Returns:
            The samples, float32, shape (channels, frames * hop), and the next overlap.
        """
        frames = np.fft.irfft(spectrum, n=self.size, norm="forward").astype(np.float32, copy=False)
        frames *= self.window
        hops = frames[:, :, : self.hop].copy()
        hops[:, 0] += overlap
        hops[:, 1:] += frames[:, :-1, self.hop :]
        return hops.reshape(len(hops), -1), frames[:, -1, self.hop :].copy()
