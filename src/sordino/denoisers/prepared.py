"""The fused graphs, each built once from its archive and kept in the cache directory."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

from sordino.denoisers.weights import Archive

CACHE_DIR = "SORDINO_CACHE_DIR"
GRAPH_VERSION = 7  # raised with every change of `graph.fuse`

_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_file(archive: Archive) -> Path:
    """Where its graph is kept: in ``SORDINO_CACHE_DIR`` if that is set, else in the user's cache directory."""
    directory = os.environ.get(CACHE_DIR) or platformdirs.user_cache_path("sordino")
    return Path(directory, f"{archive.name}-{archive.sha256[:16]}-v{GRAPH_VERSION}.onnx.sha256")


def load(archive: Archive) -> bytes:
    """The serialised graph, from the cache if it is there and whole, else built from the weights.

    A cache that cannot be read or written costs the time of building, nothing else. The weights are looked at only to
    build: what is in the cache was made of the pinned ones.

    Raises:
        sordino.denoisers.weights.WeightsError: the weights are missing or not the pinned ones.
    """
    path = cache_file(archive)
    model = _read(path)
    if model is None:
        model = _build(archive)
        with contextlib.suppress(OSError):
            _write(path, model)
            _remove_older(path)
    return model


def _build(archive: Archive) -> bytes:
    # onnx takes longer to import than everything else together, and is needed for the first start only.
    from sordino.denoisers.graph import fuse  # noqa: PLC0415

    members = archive.read()
    return fuse(members["enc.onnx"], members["erb_dec.onnx"], members["df_dec.onnx"])


def _read(path: Path) -> bytes | None:
    """The content of a file that `_write` made; None if there is none or it was damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    model, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    return model if hashlib.sha256(model).digest() == digest else None


def _write(path: Path, model: bytes) -> None:
    """Put the model, and after it its SHA-256, in place in one step: several processes may start at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as file:
        try:
            file.write(model + hashlib.sha256(model).digest())
            file.flush()
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def _remove_older(path: Path) -> None:
    """Remove what other versions made of the same archive: nobody else would, and it is made again in a second."""
    for other in path.parent.glob(f"{path.name.rpartition('-v')[0]}-v*.onnx.sha256"):
        if other != path:
            other.unlink(missing_ok=True)
