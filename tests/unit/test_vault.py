"""Secrets at rest."""

import base64
import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sordino.adapters.vault import KEY_FILE, FernetVault
from sordino.domain.ports import VaultError

SECRET = "a secret of ours, ü"


def new_key() -> str:
    """A key as the setting takes it."""
    return Fernet.generate_key().decode()


def test_what_was_sealed_is_opened(tmp_path: Path) -> None:
    """By whoever has the file, which the first secret makes and only its owner reads; what is sealed says nothing."""
    sealed = FernetVault(data=tmp_path).seal(SECRET)
    assert SECRET not in sealed
    assert FernetVault(data=tmp_path).open(sealed) == SECRET
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_machine_without_a_data_directory(tmp_path: Path) -> None:
    """It is made for the key: a machine whose database and objects lie elsewhere may have none yet."""
    vault = FernetVault(data=tmp_path / "new" / "data")
    assert vault.open(vault.seal(SECRET)) == SECRET


def test_the_key_stays(tmp_path: Path) -> None:
    """Further secrets are sealed with the key that is there."""
    vault = FernetVault(data=tmp_path)
    first, key = vault.seal(SECRET), (tmp_path / KEY_FILE).read_text()
    vault.seal("another")
    assert (tmp_path / KEY_FILE).read_text() == key
    assert vault.open(first) == SECRET


def test_a_draft_that_a_killed_process_left(tmp_path: Path) -> None:
    """It keeps nobody from making a key, also not a process of the same number in another container."""
    (tmp_path / f"secrets.{os.getpid()}.draft").write_text("")
    vault = FernetVault(data=tmp_path)
    assert vault.open(vault.seal(SECRET)) == SECRET


def test_a_new_key(tmp_path: Path) -> None:
    """In front of the old one it seals, and the old one still opens; alone it does not."""
    old, new = new_key(), new_key()
    sealed = FernetVault(data=tmp_path, keys=(old,)).seal(SECRET)
    both = FernetVault(data=tmp_path, keys=(new, old))
    assert old not in repr(both)
    assert both.open(sealed) == SECRET
    assert FernetVault(data=tmp_path, keys=(new,)).open(both.seal(SECRET)) == SECRET
    with pytest.raises(VaultError, match="does not have"):
        FernetVault(data=tmp_path, keys=(new,)).open(sealed)
    (tmp_path / KEY_FILE).write_text(f"{new}\n{old}\n")
    assert FernetVault(data=tmp_path).open(sealed) == SECRET


def test_a_machine_without_the_key(tmp_path: Path) -> None:
    """It is told what to copy, makes no key of its own to open with, and does not say what was sealed."""
    sealed = FernetVault(data=tmp_path, keys=(new_key(),)).seal(SECRET)
    with pytest.raises(VaultError, match="copy it") as refusal:
        FernetVault(data=tmp_path).open(sealed)
    assert SECRET not in str(refusal.value)
    assert not (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize("content", ["", "short", base64.urlsafe_b64encode(bytes(31)).decode(), "\udcff"])
def test_a_file_that_holds_no_key(tmp_path: Path, content: str) -> None:
    """It is told as such, by what seals and by what opens."""
    (tmp_path / KEY_FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    vault = FernetVault(data=tmp_path)
    with pytest.raises(VaultError):
        vault.seal(SECRET)
    with pytest.raises(VaultError):
        vault.open("x")


def test_a_key_as_the_settings_say(tmp_path: Path) -> None:
    """What openssl writes is a key."""
    key = base64.b64encode(bytes(range(200, 232))).decode().translate(str.maketrans("+/", "-_"))
    vault = FernetVault(data=tmp_path, keys=(key,))
    assert vault.open(vault.seal(SECRET)) == SECRET
