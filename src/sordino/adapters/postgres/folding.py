"""Pages of keys that fold into common prefixes: what their queries have in common."""

from typing import Final

from sordino.domain.bucket import MAX_KEY_BYTES, common_prefix

HIGHEST: Final = "\U0010ffff" * (MAX_KEY_BYTES // 4 + 1)
"""Greater than whatever may follow a prefix in a key: no key has room for so many of the highest character."""


def common_prefix_of(column: str) -> str:
    """SQL for the common prefix that a column's key folds into, NULL when it stands for itself.

    Its parameters: ``skip``, the length of the prefix asked for, and ``delimiter``.
    """
    return f"""
left({column}, %(skip)s + nullif(strpos(substr({column}, %(skip)s + 1), %(delimiter)s), 0) + length(%(delimiter)s) - 1)
"""


def after(marker: str, prefix: str, delimiter: str) -> str:
    """The text that the first key of a page is greater than; a common prefix that the marker lies in is before it."""
    common = common_prefix(marker, prefix, delimiter)
    return marker if common is None else common + HIGHEST
