"""Secrets at rest: what the database holds of them is of no use without a key that lies outside of it."""

import os
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sordino.adapters.data_directory import make_directory
from sordino.domain.ports import VaultError

KEY_FILE: Final = "secrets.key"
HOW_TO_MAKE: Final = "32 random bytes in URL-safe base64, as `openssl rand -base64 32 | tr +/ -_` writes them"


@dataclass(frozen=True, slots=True, kw_only=True)
class FernetVault:
    """``ports.Vault`` by Fernet (AES-128-CBC and HMAC-SHA256).

    Attributes:
        data: the directory of the file that holds the keys unless ``keys`` does: one a line, the first one seals.
        keys: of the setting, in the same order.
    """

    data: Path
    keys: tuple[str, ...] = field(default=(), repr=False)

    def seal(self, secret: str) -> str:
        """Encrypt; the first secret of all makes the file of the key.

        Raises:
            VaultError: the key cannot be read or made.
        """
        return _fernet(self._keys(make=True)).encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Decrypt.

        Raises:
            VaultError: it was sealed with a key that is not here.
        """
        try:
            return _opened(self._keys(make=False), sealed)
        except InvalidToken:
            raise VaultError(
                "A secret in the database was sealed with a key that this machine does not have. Every machine of a "
                f"service needs the same {KEY_FILE}, or SORDINO_SECRETS_KEY: copy it from the one that sealed it."
            ) from None

    def is_newest(self, sealed: str) -> bool:
        """Whether it was sealed with the key that seals now.

        Raises:
            VaultError: there is no key.
        """
        try:
            _fernet(self._keys(make=False)[:1]).decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def _keys(self, *, make: bool) -> tuple[str, ...]:
        return self.keys or self._file(make=make)

    def _file(self, *, make: bool) -> tuple[str, ...]:
        path = self.data / KEY_FILE
        try:
            if make and not path.exists():
                _make(path)
            found = path.stat()
            keys = _read(path, found.st_ino, found.st_size, found.st_mtime_ns)
        except FileNotFoundError:
            raise VaultError(
                f"There is no {path}, which the secrets in the database were sealed with: copy it from the machine "
                "that sealed them, or set SORDINO_SECRETS_KEY."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise VaultError(f"{path} cannot be used: {error}") from error
        if not keys:
            raise VaultError(f"{path} is empty: restore it from a copy.")
        try:
            _fernet(keys)
        except VaultError as error:
            raise VaultError(f"{path} is damaged: restore it from a copy. {error}") from None
        return keys


@lru_cache
def _read(path: Path, *version: int) -> tuple[str, ...]:  # noqa: ARG001 - what tells it from the file of before
    # Every signed request needs them; to look whether the file is the same takes a tenth of reading it.
    return tuple(path.read_text().split())


@lru_cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([parse_key(key) for key in keys])


@lru_cache(maxsize=4096)
def _opened(keys: tuple[str, ...], sealed: str) -> str:
    # Every signed request opens its key's secret.
    return _fernet(keys).decrypt(sealed).decode()


def parse_key(text: str) -> Fernet:
    """A key.

    Raises:
        VaultError: it is none.
    """
    try:
        return Fernet(text)
    except ValueError:
        raise VaultError(f"A key of secrets is {HOW_TO_MAKE}.") from None


def _make(path: Path) -> None:
    """Write a new key, for the owner of its directory alone; when another process has just done so, that one stays."""
    # On a machine whose objects lie elsewhere it is the first file there is.
    make_directory(path.parent)
    # Not named by the process: those of containers all have the same number, and one that was killed leaves its draft.
    draft = path.with_suffix(f".{secrets.token_hex(8)}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                # The operator may be root where the service is not.
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
