"""Names that users give to what they make."""

import re
from typing import Final

# What the protocol calls Chinese, and English letters, digits, `_`, `-`, `*`: the ideographs of Unicode's blocks.
_NAME: Final = re.compile(r"[A-Za-z0-9_*\-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")


def is_name(text: str, most: int) -> bool:
    """Whether ``text`` may name a template or a queue: Chinese, English letters, digits, ``_``, ``-``, ``*``.

    Args:
        text: the name.
        most: characters it may have.
    """
    return len(text) <= most and _NAME.fullmatch(text) is not None
