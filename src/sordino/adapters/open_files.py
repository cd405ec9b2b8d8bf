"""How many files this process may have open."""

import resource
from typing import Final

WANTED: Final = 65_536
"""A client may hold a connection, the file that is sent to it, and a connection to another store."""


def allow_many() -> int:
    """Have as many open files as the system lets us, ``WANTED`` at most; how many that are.

    Systems let a process begin with 1,024, for programs that use ``select``; nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft
