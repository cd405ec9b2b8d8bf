"""Words of a client: lists of them, and how refusals show one."""

ALL = "All"
"""The word with which queries ask for every state, tag or region."""


def comma_list(text: str) -> tuple[str, ...]:
    """The parts between commas that are not blank, each once, in the order given, without the white space around."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def quote(word: str) -> str:
    """A client's word for a message, cut to a readable length."""
    return repr(word if len(word) <= 64 else f"{word[:64]}...")
