"""The data directory of ``sordino serve``: its lock and the root key's file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sordino.domain.identity import AccessKey

LOCK = "serve.lock"
ROOT_KEY = "root-key.env"


# As root the embedded database runs under another account, which must pass through.
_MODE_OF_ROOT = 0o711
_MODE_OF_USER = 0o700


class DataDirectoryError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


def make_directory(data: Path) -> None:
    """Make the data directory, and what is missing above it, so that its users may enter whatever the umask says.

    Raises:
        OSError: it cannot be made.
    """
    for directory in (*reversed(data.parents), data):
        if not directory.exists():
            # By chmod, since the umask trims what mkdir is given; another start may be making it at the same time.
            directory.mkdir(exist_ok=True)
            directory.chmod(_MODE_OF_ROOT if os.geteuid() == 0 else _MODE_OF_USER)


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the directory, created when missing, for this process alone.

    Raises:
        DataDirectoryError: another process holds it, or it cannot be made.
    """
    try:
        make_directory(data)
        descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirectoryError(
            f"The data directory {data} cannot be used: {error.strerror}. Choose another: --data DIR"
        ) from error
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "?"
            raise DataDirectoryError(
                f"Another sordino serve (process {holder}) runs on {data}. "
                "Stop it, or choose another directory: --data DIR"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def write_root_key(data: Path, key: AccessKey) -> Path:
    """Keep a new root key in a file that only its owner can read, whole or not at all; the file.

    A key that is there already, of another database, stays: the new one then goes to ``root-key.<appid>.env``.

    Raises:
        DataDirectoryError: it cannot be written, or that file is there, too.
    """
    try:
        make_directory(data)
        path = _unused(data / ROOT_KEY, data / f"root-key.{key.account.appid}.env")
        _write(path, key)
        _sync(data)
    except OSError as error:
        raise DataDirectoryError(
            f"The root key cannot be kept in {data}: {error.strerror}. Choose another directory: --data DIR"
        ) from error
    return path


def _write(path: Path, key: AccessKey) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(
            f"SORDINO_APPID={key.account.appid}\n"
            f"SORDINO_UIN={key.account.uin}\n"
            f"SORDINO_SECRET_ID={key.secret_id}\n"
            f"SORDINO_SECRET_KEY={key.secret_key}\n"
        )
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _unused(*paths: Path) -> Path:
    for path in paths:
        if not path.exists():
            return path
    raise DataDirectoryError(f"{paths[-1]} holds another root key. Move it away.")


def _sync(directory: Path) -> None:
    """Have the names in a directory outlive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
