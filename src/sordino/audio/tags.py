"""What a recording is called: the tags that are carried from one file into another."""

import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

NAMES = (
    "title",
    "artist",
    "album",
    "album_artist",
    "composer",
    "performer",
    "comment",
    "description",
    "date",
    "genre",
    "track",
    "disc",
    "language",
    "copyright",
    "publisher",
    "show",
    "episode_id",
)
"""Tags that are carried over, by FFmpeg's names, which it translates to and from those of each format."""

MAX_LENGTH = 1000
"""Characters kept of a tag."""

_OTHER_NAMES: Mapping[str, str] = {"year": "date", "albumartist": "album_artist", "tracknumber": "track"}
_KEPT = frozenset("\n\t\u200c\u200d")
"""Line ends, tabs, and the joiners that Persian, Indian scripts and emoji are written with."""


def clean_tags(sets: Iterable[Mapping[str, str]]) -> Mapping[str, str]:
    """The tags worth carrying over, safe to show and to write.

    There are at most as many as `NAMES`, of at most `MAX_LENGTH` characters each, without control and formatting
    characters, and valid as UTF-8: what was not is U+FFFD.

    Args:
        sets: tags of the file and of its stream as they were read; the first set that has one wins.
    """
    tags: dict[str, str] = {}
    for found in sets:
        for key, value in found.items():
            name = _OTHER_NAMES.get(key.lower(), key.lower())
            text = _clean(value)
            if name in NAMES and name not in tags and text and (name, text) != ("language", "und"):
                tags[name] = text
    return MappingProxyType({name: tags[name] for name in NAMES if name in tags})


def _clean(value: str) -> str:
    # Twice the length is enough to look at: a tag may be as long as the file.
    text = value[: 2 * MAX_LENGTH].replace("\r\n", "\n").replace("\r", "\n")
    return "".join(filter(None, map(_clean_character, text))).strip()[:MAX_LENGTH]


def _clean_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":  # how PyAV from 19 on tells a byte that is no UTF-8; before, it replaces it itself
        return "\ufffd"
    return "" if category.startswith("C") and character not in _KEPT else character
