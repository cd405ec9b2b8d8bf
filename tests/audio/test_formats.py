"""A corpus of real files in every format, odd, broken and hostile, when it lies beside the checkout."""

import csv
from pathlib import Path

import numpy as np
import pytest

from audio.sounds import read_media
from sordino.audio.errors import MediaError
from sordino.audio.process import denoise_file

CORPUS = Path(__file__).parents[3] / "shared" / "formats"


def corpus() -> list[dict[str, str]]:
    """The rows of the corpus' manifest; none when it is not there."""
    manifest = CORPUS / "expected.csv"
    if not manifest.is_file():
        return []
    with manifest.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if not row["file"].startswith("big/")]


ROWS = corpus()

# Those that are read, but not whole or not as they claim to be: the user is told.
NOTED = {
    "broken/truncated_half.wav",
    "broken/truncated_half.mp3",
    "broken/truncated_faststart.m4a",
    "broken/truncated.flac",
    "broken/truncated.ogg",
    "broken/truncated.webm",
    "broken/truncated.amr",
    "broken/corrupt_middle.flac",
    "broken/bitrot.mp3",
    "broken/claims_huge.flac",
    "edge/concat_rates.mp3",
}

pytestmark = pytest.mark.skipif(not ROWS, reason="the corpus ../shared/formats is not there")


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_ends_as_expected(row, tmp_path):
    """A file that should work gives a whole, finite result; one that should fail is refused; none crashes or hangs."""
    target = tmp_path / "result.wav"
    try:
        report = denoise_file(CORPUS / row["file"], target, denoiser="off", max_seconds=600)
    except MediaError as error:
        outcome, report = str(error), None
    else:
        outcome = report.note
    if report is None:
        assert row["expect"] != "ok", outcome
        assert len(outcome) > 20
        assert not target.exists()
        return
    assert row["expect"] != "fail", outcome
    assert bool(outcome) == (row["file"] in NOTED)
    samples, rate = read_media(target)
    assert rate == report.rate == 16000
    assert len(samples) / rate == pytest.approx(report.seconds)
    assert np.isfinite(samples).all()
    # FFmpeg's own tool keeps the padding at the end of MP4; a damaged file may be read further than it gets.
    assert report.seconds == pytest.approx(float(row["decoded_seconds"]), abs=0.35)
