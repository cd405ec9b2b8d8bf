"""The element NoiseReduction, which jobs and templates share.

Its elements other than Format and the rate are extensions of ours (docs/how-to/choose-the-sound.md).
"""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

from sordino.domain.job import (
    KEEP,
    LOUDNESS_RANGE,
    SAMPLE_RATES,
    STRENGTHS,
    AudioFormat,
    Channels,
    Loudness,
    NoiseReduction,
    RateSpelling,
    loudness,
)
from sordino.errors import INVALID_ARGUMENT
from sordino.wire import xml
from sordino.wire.part import Part

_LUFS = re.compile(r"-[1-9][0-9]?(\.[0-9]{1,2})?")


def parse_order(part: Part, models: Collection[str], spelling: RateSpelling) -> NoiseReduction:
    """Read the element, with the protocol's defaults for what it leaves out.

    Args:
        part: NoiseReduction.
        models: names of the engines that an order may choose from.
        spelling: of the rate where it is left out.

    Raises:
        ServiceError: ``InvalidArgument`` for a value that is not allowed, ``NotImplemented`` for one that may come.
    """
    part.refuse("Dereverb", "the removal of reverberation is")
    form = part.choice("Format", AudioFormat) or NoiseReduction().format
    spelling, rate = _rate(part, form, spelling)
    return NoiseReduction(
        format=form,
        sample_rate=rate,
        spelling=spelling,
        model=part.choice("Model", models),
        strength=part.whole("Strength", STRENGTHS, "dB"),
        channels=part.choice("Channels", Channels),
        loudness=_loudness(part),
        video=_video(part, form),
    )


def order_nodes(order: NoiseReduction) -> list[xml.Node]:
    """The children of NoiseReduction, the rate spelled as it was asked, without extensions that were left out."""
    extensions: Mapping[str, str | int | None] = {
        "Model": order.model,
        "Strength": order.strength,
        "Channels": order.channels,
        "Loudness": None if order.loudness is None else str(order.loudness),
        "Video": KEEP if order.video else None,
    }
    return [("Format", order.format), (order.spelling, order.sample_rate), *xml.known(extensions)]


def _rate(part: Part, form: AudioFormat, default: RateSpelling) -> tuple[RateSpelling, int]:
    """The rate in Hz and its spelling; both spellings may be there if they say the same."""
    rates = {spelling: part.choice(spelling.value, SAMPLE_RATES) for spelling in RateSpelling}
    given = {spelling: rate for spelling, rate in rates.items() if rate is not None}
    if len(set(given.values())) > 1:
        raise INVALID_ARGUMENT(f"{part.path} has a SampleRate and a different Samplerate; give one of them.")
    spelling, rate = next(iter(given.items()), (default, NoiseReduction().sample_rate))
    if rate not in form.sample_rates:
        legal = ", ".join(map(str, form.sample_rates))
        raise INVALID_ARGUMENT(f"{part.path}.{spelling} is '{rate}'; with Format {form} use one of {legal}.")
    return spelling, rate


def _loudness(part: Part) -> Loudness | None:
    low, high = LOUDNESS_RANGE

    def valid(word: str) -> bool:
        return word == KEEP or (_LUFS.fullmatch(word) is not None and low <= Decimal(word) <= high)

    word = part.checked("Loudness", valid, f"a number from {low} to {high}, LUFS, with at most two decimals, or {KEEP}")
    return None if word is None else loudness(word)


def _video(part: Part, form: AudioFormat) -> bool:
    if part.choice("Video", (KEEP,)) is None:
        return False
    if not form.takes_video:
        raise INVALID_ARGUMENT(f"{part.path}.Video is '{KEEP}'; use Format {AudioFormat.M4A} with it, or leave it out.")
    return True
