"""What an order may ask for."""

import math

import pytest

from sordino.audio.errors import OrderError
from sordino.audio.order import LOUDNESS_RANGE, SAMPLE_RATES, Channels, MediaFormat, MediaOrder


@pytest.mark.parametrize("rate", SAMPLE_RATES)
@pytest.mark.parametrize("form", list(MediaFormat))
def test_rates_a_format_takes(form, rate):
    """Every format takes the seven rates but Opus two less; the refusal names what is legal."""
    if form is MediaFormat.OPUS and rate in (32000, 44100):
        with pytest.raises(OrderError, match=f"{rate} Hz as opus; use one of 8000, 12000, 16000, 24000, 48000"):
            MediaOrder(format=form, rate=rate)
    else:
        assert MediaOrder(format=form, rate=rate).rate == rate
    assert MediaOrder(format=form, rate=None).rate is None


def test_what_comes_out_of_json_counts_as_what_went_in():
    """The texts of formats and channels are taken for the values they name."""
    order = MediaOrder(format="opus", channels="keep")
    assert order == MediaOrder(format=MediaFormat.OPUS, channels=Channels.KEEP)
    assert order.format is MediaFormat.OPUS
    assert order.channels is Channels.KEEP


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"format": "ogg"}, "use wav, mp3, m4a, flac, opus"),
        ({"format": None}, "use wav"),
        ({"channels": "first"}, "use mix, keep"),
        ({"rate": 22050}, "use one of 8000"),
        ({"rate": 16000.0}, "use one of 8000"),
        ({"rate": True}, "use one of 8000"),
        ({"rate": 0}, "use one of 8000"),
        ({"rate": math.nan}, "use one of 8000"),
        ({"strength": -1}, "0 to 100 dB, not -1"),
        ({"strength": 101}, "0 to 100 dB"),
        ({"strength": 12.5}, "whole number"),
        ({"strength": True}, "whole number"),
        ({"strength": math.nan}, "whole number"),
        ({"strength": "12"}, "whole number"),
        ({"loudness": -70.1}, "-70 to -5 LUFS, or keep, not -70.1"),
        ({"loudness": -4.9}, "-70 to -5 LUFS"),
        ({"loudness": math.nan}, "-70 to -5 LUFS"),
        ({"loudness": -math.inf}, "-70 to -5 LUFS"),
        ({"loudness": "loud"}, "or keep, not 'loud'"),
        ({"loudness": False}, "-70 to -5 LUFS"),
        ({"video": True}, "m4a only, not in wav"),
        ({"video": True, "format": MediaFormat.OPUS}, "choose m4a, or leave the video out"),
    ],
)
def test_values_that_make_no_sense_are_refused(values, told):
    """A value out of its range, or of the wrong kind, is refused in words that say what is legal."""
    with pytest.raises(OrderError, match=told):
        MediaOrder(**values)


@pytest.mark.parametrize("strength", [0, 1, 24, 100])
@pytest.mark.parametrize("loudness", [None, "keep", -23, *LOUDNESS_RANGE])
def test_values_at_the_ends_of_their_ranges(strength, loudness):
    """The ends of a range belong to it."""
    order = MediaOrder(strength=strength, loudness=loudness, format=MediaFormat.M4A, video=True)
    assert (order.strength, order.loudness, order.video) == (strength, loudness, True)
