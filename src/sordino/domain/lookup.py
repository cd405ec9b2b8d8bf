"""Looking things up by their ids."""

from collections.abc import Collection, Sequence


def missing(wanted: Sequence[str], found: Collection[str]) -> Sequence[str]:
    """The ids that were asked for and not found, each once, in the order asked."""
    return [one for one in dict.fromkeys(wanted) if one not in found]
