"""The limit of open files, in processes of their own: a limit that was lowered for good stays so."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from sordino.adapters.open_files import allow_many
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(allow_many(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "printed"),
    [
        (100, 900, "900 (900, 900)"),
        (900, 900, "900 (900, 900)"),
    ],
)
def test_as_many_as_the_system_allows(soft: int, hard: int, printed: str) -> None:
    """The soft limit is raised up to the hard one, which stays."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == printed
