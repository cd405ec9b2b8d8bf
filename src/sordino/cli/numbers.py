"""Options that take a number, or a word in its place."""

from collections.abc import Mapping

import typer


def number_or(words: Mapping[str, int | None], option: str, text: str, least: int, most: int) -> int | None:
    """The number that was given for an option, or what a word stands for.

    Args:
        words: what each stands for.
        option: as it is typed.
        text: what was given for it.
        least: of numbers.
        most: of numbers.

    Raises:
        typer.BadParameter: it is none of both.
    """
    if text in words:
        return words[text]
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    named = " or ".join(f"`{word}`" for word in words)
    raise typer.BadParameter(f"{option} is {text[:40]!r}; use {least} to {most}, or {named}")
