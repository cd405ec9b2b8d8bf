"""Say plainly what a machine lacks before anything is installed. Runs on any Python 3, so it uses no new syntax."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is what tells an older Python
    sys.exit(
        "Sordino needs Python 3.11 or newer; this is %d.%d. Name another one: make setup PYTHON=python3.12"  # noqa: UP031
        % sys.version_info[:2]
    )
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError as error:
    sys.exit("This Python has no venv module (" + str(error) + "). On Debian and Ubuntu: apt install python3-venv")
