"""Whether an engine can be loaded: tried in a process of its own, which leaves it prepared for all others.

Run as ``python -m sordino.audio.trial DENOISER``; says what is missing on standard error, with status 1.
"""

import sys

from sordino.denoisers import UnknownDenoiserError, load
from sordino.denoisers.weights import WeightsError

NOT_LOADED = (ImportError, UnknownDenoiserError, WeightsError)
"""What loading an engine ends with when something of it is not there."""


def main() -> None:
    """Load the engine."""
    try:
        load(sys.argv[1])
    except NOT_LOADED as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
