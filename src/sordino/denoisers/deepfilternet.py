"""DeepFilterNet: gains in ERB bands for all bins, and a filter over five frames for the lowest ones.

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", 2023. Networks run over blocks of
frames with explicit state; thresholds on the local SNR, as the authors' streaming runtime has them, are not applied.

Several networks of the family answer as one: the magnitude of a bin is the weighted geometric mean of theirs (the mean
of their attenuations in dB), its phase that of their weighted sum. The arithmetic mean is worse: it holds what the most
lenient of them left of the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sordino.audio.channels import Downmix
from sordino.audio.stft import Stft
from sordino.denoisers import DenoiserInfo, DenoiserStream, band
from sordino.denoisers.block import checked, sanitised
from sordino.denoisers.features import BAND_BINS, BANDS, BINS, DF_BINS, FRAME, RATE, Means, extract
from sordino.denoisers.level import Levelled
from sordino.denoisers.network import Answer, Network
from sordino.denoisers.prime import Primed

TAPS = 5  # of the filter; the frame itself is the one `look_ahead` before the last
LOOK_AHEAD = 2  # frames; the most that any network of the family has
HISTORY = TAPS - 1 + LOOK_AHEAD  # frames before a block that its output is made of
BLOCK_FRAMES = 200  # 2 s: fewer are slower, more take memory and gain nothing

_STFT = Stft(FRAME)
_HOP = _STFT.hop
_BLOCK = BLOCK_FRAMES * _HOP
DELAY = (LOOK_AHEAD + 1) * _HOP  # the look-ahead, and the hop that overlap-add is late
_BAND_OF_BIN = np.repeat(np.arange(BANDS), BAND_BINS)
_TINY = np.finfo(np.float32).tiny

_Samples = NDArray[np.float32]
_Spectrum = NDArray[np.complex64]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that a block leaves to the next one; arrays are replaced, never changed.

    The networks hear one row: the one channel, or the mix of several, which is a row more.

    Attributes:
        analysis: overlap of the analysis, float32, shape (rows, hop).
        synthesis: overlap of the synthesis, float32, shape (channels, hop).
        power: mean power of the bins of what is heard, shape (1, BINS).
        means: running means of the features.
        spectrum: the last frames of what is treated, complex64, shape (channels, HISTORY, BINS).
        networks: the state of each network.
        answers: the last answers of each network that has less than LOOK_AHEAD.
    """

    analysis: _Samples
    synthesis: _Samples
    power: NDArray[np.float64]
    means: Means
    spectrum: _Spectrum
    networks: tuple[dict[str, _Samples], ...]
    answers: tuple[Answer, ...]

    def is_silent(self) -> bool:
        """Whether the next output is digital silence if the next block is: then no network need be asked."""
        return not (self.analysis.any() or self.spectrum.any() or self.synthesis.any())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepFilterNet:
    """One or more loaded networks. It holds no stream's state.

    Attributes:
        info: what the engine is.
        networks: the networks.
        weights: share of each in the answer; they sum to 1.
        prime_seconds: how much of the beginning is heard before the recording; 0 for none.
        highest_edge: bin up to which a band that ends there gets an image above it.
    """

    info: DenoiserInfo
    networks: tuple[Network, ...]
    weights: tuple[float, ...]
    prime_seconds: float
    highest_edge: int

    def stream(self, channels: int = 1, *, linked: bool = False) -> DenoiserStream:
        """See `sordino.denoisers.Denoiser.stream`."""
        if checked(channels) > 1 and not linked:
            return Separate([self.stream() for _ in range(channels)])
        stream: DenoiserStream = BlockStream(self, channels)
        if self.prime_seconds:
            stream = Primed(stream, samples=round(self.prime_seconds * RATE), channels=channels)
        return Levelled(stream, rate=RATE, channels=channels)

    def initial(self, channels: int) -> State:
        """The state before the first frame."""
        return State(
            analysis=_STFT.silence(_rows(channels)),
            synthesis=_STFT.silence(channels),
            power=np.zeros((1, BINS)),
            means=Means.initial(1),
            spectrum=np.zeros((channels, HISTORY, BINS), np.complex64),
            networks=tuple(network.initial(1) for network in self.networks),
            answers=tuple(
                Answer.silence(1, frames=LOOK_AHEAD - network.look_ahead, bands=BANDS, bins=DF_BINS, taps=TAPS)
                for network in self.networks
            ),
        )

    def process(self, samples: _Samples, state: State) -> tuple[_Samples, State]:
        """Denoise a block.

        Args:
            samples: float32, shape (rows, frames * hop): what is heard, then, of several channels, what is treated.
            state: what the block before left.

        Returns:
            As many samples of what is treated, later by `DELAY`, and the state for the next block.
        """
        if not samples.any() and state.is_silent():
            return np.zeros((len(state.synthesis), samples.shape[1]), np.float32), state
        spectrum, analysis = _STFT.analyse(samples, state.analysis)
        heard, treated = spectrum[:1], spectrum[-len(state.spectrum) :]
        power = band.learnt(state.power, heard)
        features = extract(band.filled(heard, power, self.highest_edge), state.means)
        runs = [network.run(features, before) for network, before in zip(self.networks, state.networks, strict=True)]
        answers = [answer.after(late) for late, (answer, _) in zip(state.answers, runs, strict=True)]
        frames = np.concatenate((state.spectrum, treated), axis=1)
        output, synthesis = _STFT.synthesise(self._filtered(frames, answers), state.synthesis)
        count = heard.shape[1]
        return output, State(
            analysis=analysis,
            synthesis=synthesis,
            power=power,
            means=features.means,
            spectrum=frames[:, -HISTORY:].copy(),
            networks=tuple(after for _, after in runs),
            answers=tuple(answer.frames(count) for answer in answers),
        )

    def _filtered(self, frames: _Spectrum, answers: Sequence[Answer]) -> _Spectrum:
        """Apply the networks' answers, frame for frame to the one LOOK_AHEAD earlier.

        Args:
            frames: complex64, shape (channels, HISTORY + n, BINS).
            answers: each for n frames or more, of which the first n count.

        Returns:
            complex64, shape (channels, n, BINS).
        """
        count = frames.shape[1] - HISTORY
        filtered = [
            _low_bins(frames[:, network.look_ahead :, :DF_BINS], answer, count, gains_first=network.gains_first)
            for answer, network in zip(answers, self.networks, strict=True)
        ]
        output = np.empty((len(frames), count, BINS), np.complex64)
        output[:, :, :DF_BINS] = self._mean(filtered)
        gains = self._mean_gains([answer.gains[:, :count] for answer in answers])
        shown = frames[:, HISTORY - LOOK_AHEAD : HISTORY - LOOK_AHEAD + count, DF_BINS:]
        np.multiply(shown, gains[:, :, _BAND_OF_BIN[DF_BINS:]], out=output[:, :, DF_BINS:])
        return output

    def _mean(self, spectra: Sequence[_Spectrum]) -> _Spectrum:
        """Geometric mean of the magnitudes, phase of the weighted sum."""
        if len(spectra) == 1:
            return spectra[0]
        total = np.zeros_like(spectra[0])
        logarithm = np.zeros(total.shape, np.float32)
        for weight, spectrum in zip(self._weights, spectra, strict=True):
            total += weight * spectrum
            logarithm += weight * _log_power(spectrum)
        total *= np.exp((logarithm - _log_power(total)) / 2)
        return total

    def _mean_gains(self, gains: Sequence[_Samples]) -> _Samples:
        if len(gains) == 1:
            return gains[0]
        logarithm = np.zeros(gains[0].shape, np.float32)
        for weight, gain in zip(self._weights, gains, strict=True):
            logarithm += weight * np.log(gain + _TINY)
        return np.exp(logarithm)

    @property
    def _weights(self) -> list[np.float32]:
        return [np.float32(weight) for weight in self.weights]


def _rows(channels: int) -> int:
    """Rows that are analysed: several channels and their mix."""
    return channels if channels == 1 else channels + 1


def _low_bins(frames: _Spectrum, answer: Answer, count: int, *, gains_first: bool) -> _Spectrum:
    """The lowest bins through their filters of TAPS frames, whose first output is of the first TAPS frames.

    A filter made for frames that have the gains gets the gain of the frame it is for: those of the frames after it are
    not known yet.
    """
    output: _Spectrum = frames[:, :count] * answer.taps[:, :count, :, 0]
    for tap in range(1, TAPS):
        output += frames[:, tap : tap + count] * answer.taps[:, :count, :, tap]
    if gains_first:
        output *= answer.gains[:, :count, _BAND_OF_BIN[:DF_BINS]]
    return output


def _log_power(spectrum: _Spectrum) -> _Samples:
    logarithms: _Samples = np.log(spectrum.real**2 + spectrum.imag**2 + _TINY)
    return logarithms


class BlockStream:
    """A recording in blocks of BLOCK_FRAMES frames, whatever the lengths pushed: these do not change a single bit.

    Several channels are heard as their mix and treated alike.

    Samples must be finite and the blocks of the right shape, as they are behind `Levelled`.
    """

    def __init__(self, model: DeepFilterNet, channels: int) -> None:
        self._model = model
        self._channels = channels
        self._start()

    def _start(self) -> None:
        self._state = self._model.initial(self._channels)
        self._mix = Downmix(self._channels, RATE)
        self._block = np.zeros((_BLOCK, self._channels), np.float32)
        self._filled = 0
        self._received = 0
        self._position = -DELAY  # in the recording, of the next sample that comes out

    def push(self, block: _Samples) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.push`."""
        self._received += len(block)
        return self._joined(self._fill(block))

    def flush(self) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.flush`."""
        padding = DELAY + -self._received % _HOP
        outputs = self._fill(np.zeros((padding, self._channels), np.float32))
        if self._filled:
            outputs.append(self._advance())
        self._start()
        return self._joined(outputs)

    def _fill(self, samples: _Samples) -> list[_Samples]:
        outputs = []
        while len(samples):
            taken = samples[: _BLOCK - self._filled]
            self._block[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            if self._filled == _BLOCK:
                outputs.append(self._advance())
            samples = samples[len(taken) :]
        return outputs

    def _advance(self) -> _Samples:
        output, self._state = self._model.process(self._mixed(self._block[: self._filled]), self._state)
        first = self._position
        self._position += self._filled
        self._filled = 0
        return output[:, max(-first, 0) : self._received - first]

    def _mixed(self, block: _Samples) -> _Samples:
        """What is analysed, shape (rows, samples): of several channels their mix before them."""
        if self._channels == 1:
            return np.ascontiguousarray(block.T)
        # Its look-ahead is a block: only a recording shorter than that leaves something in it.
        mixed = self._mix.push(block.copy())
        mixed = mixed if len(mixed) else self._mix.flush()
        return np.concatenate((mixed, block), axis=1).T.copy()

    def _joined(self, outputs: list[_Samples]) -> _Samples:
        return np.concatenate((np.zeros((self._channels, 0), np.float32), *outputs), axis=1).T.copy()


class Separate:
    """Channels each treated as if it were alone.

    Args:
        streams: one of one channel for each.
    """

    def __init__(self, streams: Sequence[DenoiserStream]) -> None:
        self._streams = streams

    def push(self, block: _Samples) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.push`."""
        samples = sanitised(block, len(self._streams))
        return np.concatenate(
            [stream.push(channel[:, None]) for stream, channel in zip(self._streams, samples.T, strict=True)], axis=1
        )

    def flush(self) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.flush`."""
        return np.concatenate([stream.flush() for stream in self._streams], axis=1)
