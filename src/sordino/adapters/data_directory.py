"""The data directory of ``sordino serve``: its lock and the root key's file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sordino.domain.identity import AccessKey

LOCK = "serve.lock"
ROOT_KEY = "root-key.env"


class DataDirectoryError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the directory, created when missing, for this process alone.

    Raises:
        DataDirectoryError: another process holds it, or it cannot be made.
    """
    try:
        # As root the embedded database runs under another account, which must pass through.
        data.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
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
    """Keep the root key in a file that only its owner can read, whole or not at all."""
    path = data / ROOT_KEY
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
    return path
