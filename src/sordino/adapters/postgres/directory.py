"""Directories that appear under their name only when complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def building(path: Path) -> Iterator[Path]:
    """An empty directory (mode 0700) beside ``path`` that becomes ``path`` when the block ends without an error.

    A process killed inside the block leaves a directory that the next call for the same ``path`` removes.
    The caller sees to it that nobody else builds the same ``path`` at the same time.

    Raises:
        OSError: ``path`` exists and is not an empty directory, or its parent cannot be written.
    """
    prefix = f"{path.name}.new-"
    for abandoned in path.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    try:
        yield scratch
        scratch.rename(path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
