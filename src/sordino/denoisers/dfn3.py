"""DeepFilterNet 3: gains in ERB bands for all bins, and a filter over five frames for the lowest ones.

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", 2023. The network runs over
blocks of frames with explicit state; thresholds on the local SNR, as the authors' streaming runtime has them, are not
applied.
"""

from dataclasses import dataclass, field

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sordino.audio.stft import Stft
from sordino.denoisers import DenoiserInfo, prepared
from sordino.denoisers.block import checked, sanitised
from sordino.denoisers.features import BAND_BINS, BINS, DF_BINS, FRAME, RATE, Means, extract

TAPS = 5  # of the filter: the frame itself and two on either side
LOOK_AHEAD = 2  # frames
BLOCK_FRAMES = 200  # 2 s: fewer are slower, more take memory and gain nothing

_STFT = Stft(FRAME)
_HOP = _STFT.hop
_BLOCK = BLOCK_FRAMES * _HOP
_DELAY = (LOOK_AHEAD + 1) * _HOP  # the look-ahead, and the hop that overlap-add is late
_BAND_OF_BIN = np.repeat(np.arange(len(BAND_BINS)), BAND_BINS)

_Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that a block leaves to the next one; arrays are replaced, never changed.

    Attributes:
        analysis: overlap of the analysis, float32, shape (channels, hop).
        synthesis: overlap of the synthesis, the same shape.
        means: running means of the features.
        spectrum: the last frames, complex64, shape (channels, TAPS - 1, BINS).
        network: the network's state inputs by name, float32.
    """

    analysis: _Samples
    synthesis: _Samples
    means: Means
    spectrum: NDArray[np.complex64]
    network: dict[str, _Samples]


@dataclass(frozen=True, slots=True)
class Dfn3:
    """The loaded network. It holds no stream's state, and may be used by forked children and by several threads."""

    session: ort.InferenceSession
    info: DenoiserInfo = field(
        default=DenoiserInfo(name="dfn3", licence="MIT OR Apache-2.0", rate=RATE, delay=_DELAY), init=False
    )

    def stream(self, channels: int = 1) -> "Dfn3Stream":
        """See `sordino.denoisers.Denoiser.stream`."""
        return Dfn3Stream(self, checked(channels))

    def initial(self, channels: int) -> State:
        """The state before the first frame."""
        sizes = {"channels": channels}
        inputs = {value.name: [sizes.get(size, size) for size in value.shape] for value in self.session.get_inputs()}
        return State(
            analysis=_STFT.silence(channels),
            synthesis=_STFT.silence(channels),
            means=Means.initial(channels),
            spectrum=np.zeros((channels, TAPS - 1, BINS), np.complex64),
            network={name: np.zeros(shape, np.float32) for name, shape in inputs.items() if "frames" not in shape},
        )

    def process(self, samples: _Samples, state: State) -> tuple[_Samples, State]:
        """Denoise a block.

        Args:
            samples: float32, shape (channels, frames * hop).
            state: what the block before left.

        Returns:
            As many samples, later by the look-ahead and one hop, and the state for the next block.
        """
        spectrum, analysis = _STFT.analyse(samples, state.analysis)
        features = extract(spectrum, state.means)
        gains, coefficients, *network = self.session.run(
            None, {"erb": features.erb, "complex": features.complex, **state.network}
        )
        frames = np.concatenate((state.spectrum, spectrum), axis=1)
        output, synthesis = _STFT.synthesise(_filtered(frames, gains, coefficients), state.synthesis)
        return output, State(
            analysis=analysis,
            synthesis=synthesis,
            means=features.means,
            spectrum=frames[:, 1 - TAPS :].copy(),
            network=dict(zip(state.network, network, strict=True)),
        )


def _filtered(frames: NDArray[np.complex64], gains: _Samples, coefficients: _Samples) -> NDArray[np.complex64]:
    """Apply the network's answer, frame for frame to the one LOOK_AHEAD earlier.

    Args:
        frames: complex64, shape (channels, TAPS - 1 + n, BINS).
        gains: float32, shape (channels, n, bands).
        coefficients: float32, shape (channels, n, DF_BINS, 2 * TAPS): each tap's real and imaginary part, oldest first.

    Returns:
        complex64, shape (channels, n, BINS).
    """
    count = gains.shape[1]
    taps = coefficients.view(np.complex64)
    low = frames[:, :, :DF_BINS]
    output = frames[:, LOOK_AHEAD : LOOK_AHEAD + count] * gains[:, :, _BAND_OF_BIN]
    output[:, :, :DF_BINS] = sum(low[:, tap : tap + count] * taps[:, :, :, tap] for tap in range(TAPS))
    return output


class Dfn3Stream:
    """A recording in blocks of BLOCK_FRAMES frames, whatever the lengths pushed: these do not change a single bit.

    ``copy.copy`` gives a stream that goes on by itself from the same point.
    """

    def __init__(self, model: Dfn3, channels: int) -> None:
        self._model = model
        self._channels = channels
        self._start()

    def _start(self) -> None:
        self._state = self._model.initial(self._channels)
        self._block = np.zeros((self._channels, _BLOCK), np.float32)
        self._filled = 0
        self._received = 0
        self._position = -_DELAY  # in the recording, of the next sample that comes out

    def __copy__(self) -> "Dfn3Stream":
        twin = object.__new__(Dfn3Stream)
        twin.__dict__ |= self.__dict__ | {"_block": self._block.copy()}
        return twin

    def push(self, block: _Samples) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.push`."""
        samples = sanitised(block, self._channels)
        self._received += len(samples)
        return self._joined(self._fill(samples.T))

    def flush(self) -> _Samples:
        """See `sordino.denoisers.DenoiserStream.flush`."""
        padding = _DELAY + -self._received % _HOP
        outputs = self._fill(np.zeros((self._channels, padding), np.float32))
        if self._filled:
            outputs.append(self._advance())
        self._start()
        return self._joined(outputs)

    def _fill(self, samples: _Samples) -> list[_Samples]:
        outputs = []
        while samples.shape[1]:
            taken = samples[:, : _BLOCK - self._filled]
            end = self._filled + taken.shape[1]
            self._block[:, self._filled : end] = taken
            self._filled = end
            if end == _BLOCK:
                outputs.append(self._advance())
            samples = samples[:, taken.shape[1] :]
        return outputs

    def _advance(self) -> _Samples:
        output, self._state = self._model.process(self._block[:, : self._filled], self._state)
        first = self._position
        self._position += self._filled
        self._filled = 0
        return output[:, max(-first, 0) : self._received - first]

    def _joined(self, outputs: list[_Samples]) -> _Samples:
        return np.concatenate((np.zeros((self._channels, 0), np.float32), *outputs), axis=1).T.copy()


def open_model() -> Dfn3:
    """Load the network into ONNX Runtime, for one thread.

    Raises:
        sordino.denoisers.weights.WeightsError: the weights are missing or not the pinned ones.
    """
    options = ort.SessionOptions()
    # Without threads of its own a session may be made before a fork and used after it.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    return Dfn3(ort.InferenceSession(prepared.load(), options, providers=["CPUExecutionProvider"]))
