"""Broken media files, in small numbers; `make fuzz` reads thousands."""

import json

import pytest

import fuzz_media
from sordino.audio import sandbox


@pytest.fixture(scope="module")
def specimens() -> list[fuzz_media.Specimen]:
    """The intact files."""
    return fuzz_media.intact()


async def test_intact_files_are_processed(specimens):
    """Every file that the mutations start from is one that Sordino reads."""
    tally = fuzz_media.Tally()
    for specimen in specimens:
        assert await fuzz_media.read(specimen, tally)
    assert tally.processed == len(specimens)


async def test_no_broken_file_does_harm(specimens):
    """Of 150 broken files each becomes sound or is refused; none crashes its process or keeps it for ever."""
    tally = fuzz_media.Tally()
    for number in range(150):
        await fuzz_media.read(fuzz_media.broken(specimens, number, seed=1), tally)
    sandbox.close()
    assert tally.sound, json.dumps(vars(tally))
    assert tally.files == tally.processed + sum(tally.refused.values()) == 150
    assert tally.processed > 30
    assert sum(tally.refused.values()) > 30


def test_the_same_seed_breaks_in_the_same_way(specimens):
    """A file that did harm can be made again from its number."""
    first, again = (fuzz_media.broken(specimens, 7, seed=3) for _ in range(2))
    assert first == again
    assert first != fuzz_media.broken(specimens, 7, seed=4)
