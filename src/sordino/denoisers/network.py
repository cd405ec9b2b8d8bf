"""A DeepFilterNet's network in ONNX Runtime: features of a block of frames to gains and filters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sordino.denoisers import prepared
from sordino.denoisers.features import Features
from sordino.denoisers.weights import Archive

_Samples = NDArray[np.float32]

_NO_MEMORY = ("Failed to allocate memory", "bad_alloc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the network says to a block of frames, for the frames `Network.look_ahead` earlier.

    Attributes:
        gains: for each ERB band; float32, shape (channels, frames, bands), range 0 to 1.
        taps: of the filter for the lowest bins, oldest first; complex64, shape (channels, frames, bins, taps).
    """

    gains: _Samples
    taps: NDArray[np.complex64]

    @classmethod
    def silence(cls, channels: int, *, frames: int, bands: int, bins: int, taps: int) -> "Answer":
        """The answer that lets nothing through."""
        return cls(
            gains=np.zeros((channels, frames, bands), np.float32),
            taps=np.zeros((channels, frames, bins, taps), np.complex64),
        )

    def after(self, before: "Answer") -> "Answer":
        """The two, one after the other."""
        if not before.gains.shape[1]:
            return self
        return Answer(
            gains=np.concatenate((before.gains, self.gains), axis=1),
            taps=np.concatenate((before.taps, self.taps), axis=1),
        )

    def frames(self, start: int) -> "Answer":
        """From frame ``start`` on."""
        return Answer(gains=self.gains[:, start:].copy(), taps=self.taps[:, start:].copy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The loaded network. It holds no stream's state, and may be used by forked children and by several threads.

    Attributes:
        session: the fused graph.
        look_ahead: frames that an answer is later than the frame it is for.
        gains_first: whether the filter is made for a spectrum that has the gains already.
    """

    session: ort.InferenceSession
    look_ahead: int
    gains_first: bool

    def initial(self, channels: int) -> dict[str, _Samples]:
        """The state before the first frame, by input."""
        inputs = {
            value.name: [channels if size == "channels" else size for size in value.shape]
            for value in self.session.get_inputs()
        }
        return {name: np.zeros(shape, np.float32) for name, shape in inputs.items() if "frames" not in shape}

    def run(self, features: Features, state: Mapping[str, _Samples]) -> tuple[Answer, dict[str, _Samples]]:
        """The answer to a block of frames, and the state after it.

        Raises:
            MemoryError: there is not enough for it.
        """
        try:
            gains, coefficients, *after = self.session.run(
                None, {"erb": features.erb, "complex": features.complex, **state}
            )
        except Exception as error:
            # Its class, that of many other faults, does not tell.
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise
        answer = Answer(gains=gains, taps=coefficients.view(np.complex64))
        return answer, dict(zip(state, after, strict=True))


def open_network(archive: Archive) -> Network:
    """Load a network, for one thread.

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
    session = ort.InferenceSession(prepared.load(archive), options, providers=["CPUExecutionProvider"])
    return Network(session=session, look_ahead=archive.look_ahead, gains_first=archive.gains_first)
