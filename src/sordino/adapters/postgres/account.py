"""The operating system account the embedded server runs as: PostgreSQL refuses to run as root."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sordino.adapters.postgres.errors import EmbeddedPostgresError

PREFERRED: Final = ("sordino", "postgres")
"""Accounts a root process drops to, the first that exists."""

_CREATE: Final = (
    ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/", "--shell", "/bin/false"),
    ("adduser", "-S", "-D", "-H", "-h", "/", "-s", "/bin/false"),  # BusyBox
)
_FIRST_UNREACHABLE: Final = 'for path; do [ -x "$path" ] || { printf %s "$path"; exit 0; }; done'


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Numeric user and group of the server's processes."""

    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether this process runs as that user already."""
        return self.uid == os.geteuid()

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments that make ``subprocess`` start a program as this account."""
        return {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give ``path`` itself to the account."""
        if not self.is_ours:
            os.chown(path, self.uid, self.gid)

    def first_unreachable(self, path: Path) -> Path | None:
        """The outermost of ``path`` and its parents that the account may not enter, None when it can enter all.

        The kernel is asked, in a process of that account, since mode bits do not tell of ACLs and user namespaces.
        """
        chain = [*reversed(path.parents), path]
        answer = subprocess.run(
            ["/bin/sh", "-c", _FIRST_UNREACHABLE, "sh", *map(str, chain)],
            capture_output=True,
            check=True,
            cwd="/",
            **self.popen_options(),
        ).stdout
        return Path(os.fsdecode(answer)) if answer else None


def choose_account(user: str | None, cluster: Path) -> Account:
    """The account to run the server of the data directory ``cluster`` as.

    Whoever is not root runs it as themselves. Root takes ``user`` when given, else the owner of an existing
    ``cluster``, else the first of ``PREFERRED``, else it creates the system account ``sordino``. ``nobody`` is no
    choice: whatever else runs as ``nobody`` would be let into the database.

    Raises:
        EmbeddedPostgresError: ``user`` is unknown, root, or not ours to become; or no account can be created.
    """
    if user is not None:
        return _named_account(user)
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid())
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    names = {entry.pw_name for entry in pwd.getpwall()}
    return _named_account(next((name for name in PREFERRED if name in names), None) or _create_account(PREFERRED[0]))


def _named_account(user: str) -> Account:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise EmbeddedPostgresError(f"There is no account {user!r} to run PostgreSQL as.") from None
    account = Account(uid=entry.pw_uid, gid=entry.pw_gid)
    if account.uid == 0:
        raise EmbeddedPostgresError("PostgreSQL refuses to run as root; name another account.")
    if not account.is_ours and os.geteuid() != 0:
        raise EmbeddedPostgresError(f"Only root can run PostgreSQL as {user!r}; leave the account out.")
    return account


def _create_account(name: str) -> str:
    command = next(([path, *options, name] for path, options in _creators()), None)
    created = command is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
    if not created:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root and no account {' or '.join(PREFERRED)} exists or could be created; "
            f"create one (useradd --system {name}), run Sordino as an ordinary user, or set SORDINO_DATABASE_URL."
        )
    return name


def _creators() -> Sequence[tuple[str, Sequence[str]]]:
    return [(path, options) for program, *options in _CREATE if (path := shutil.which(program))]
