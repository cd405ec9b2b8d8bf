"""Templates: named orders that jobs of the same bucket refer to."""

import re
from dataclasses import dataclass
from datetime import datetime

from sordino.domain.job import NoiseReduction

MAX_TEMPLATE_NAME = 64

# What the protocol calls Chinese, and English letters, digits, `_`, `-`, `*`: the ideographs of Unicode's blocks.
_NAME = re.compile(r"[A-Za-z0-9_*\-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")


def is_name(text: str, most: int) -> bool:
    """Whether ``text`` may name a template or a queue: Chinese, English letters, digits, ``_``, ``-``, ``*``."""
    return len(text) <= most and _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A noise reduction template; ``name`` is unique in its bucket."""

    template_id: str
    bucket: str
    name: str
    noise_reduction: NoiseReduction
    created_at: datetime
    updated_at: datetime
