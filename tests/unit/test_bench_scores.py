"""What the bench measures of sound: scores, the sets of recordings, what is read from the results."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sordino.audio import dnsmos
from sordino.bench import corpus, plot, recording, scores
from sordino.bench.corpus import Pair
from sordino.bench.errors import BenchError
from sordino.bench.scores import METRICS, Scores, si_sdr
from sordino.bench.sound import CLEAN, NOISY, Result, Results, Trial, conduct
from sordino.bench.tables import gains, sound
from support import noisy_speech, speech_like, wav_bytes

PUBLIC = Path(__file__).resolve().parents[3] / "shared" / "audio"


def need_tools() -> None:
    """Skip where what scores is not installed."""
    if missing := [name for name in ("pesq", "pystoi") if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed: make bench-tools")
    need_dnsmos()


def need_dnsmos() -> None:
    """Skip where the model of DNSMOS is not installed."""
    if dnsmos.find_model() is None:
        pytest.skip("the wheel speechmos, which carries the DNSMOS model, is not installed")


def test_si_sdr_ignores_scale_and_offset_and_counts_distortion():
    """A tenth of orthogonal error is 20 dB whatever the gain and the offset; none is infinite."""
    reference = np.array([1, -1, 0, 0], np.float32)
    error = np.array([0, 0, 0.1, -0.1], np.float32)
    assert si_sdr(reference, reference + error) == pytest.approx(20, abs=1e-4)
    assert si_sdr(reference, 5 - 3 * (reference + error)) == pytest.approx(20, abs=1e-4)
    assert si_sdr(reference, reference) == float("inf")
    assert si_sdr(reference, reference * np.float32(0.3)) == float("inf")


def test_dnsmos_of_a_short_recording_is_that_of_its_repetition():
    """A recording shorter than the model's window is heard over and over."""
    need_dnsmos()
    short = (0.03 * np.random.default_rng(7).standard_normal(5 * scores.RATE // 2)).astype(np.float32)
    assert scores.opinions(short) == scores.opinions(np.tile(short, 4))


def test_dnsmos_hears_noise():
    """Loud noise is an intruding background, and every score lies on the scale."""
    need_dnsmos()
    noise = (0.1 * np.random.default_rng(7).standard_normal(10 * scores.RATE)).astype(np.float32)
    heard = scores.opinions(noise)
    assert 0.9 <= heard.background < 2
    assert 0.9 <= heard.overall < 2
    assert 0.9 <= heard.signal <= 5


@pytest.mark.parametrize("name", ["A01", "A14", "A27"])
def test_scores_of_the_public_set_are_those_on_record(name):
    """What the noisy recordings score agrees with the figures that came with the set, to their last digit but one."""
    need_tools()
    if not PUBLIC.is_dir():
        pytest.skip("the public set of recordings is not there")
    with (PUBLIC / "noisy_scores.csv").open(newline="") as file:
        expected = next(row for row in csv.DictReader(file) if (row["id"], row["rate"]) == (name, "16000"))
    pair = next(pair for pair in corpus.find(PUBLIC, rates=[16000]) if pair.name == name)
    found = conduct(Trial(engine=NOISY, pair=pair)).scores
    columns = {
        "pesq": "pesq",
        "stoi": "stoi",
        "si_sdr": "sisdr",
        "signal": "sig",
        "background": "bak",
        "overall": "ovrl",
    }
    for metric, column in columns.items():
        assert getattr(found, metric) == pytest.approx(float(expected[column]), abs=0.002), metric


def test_missing_tools_are_told_with_the_way_to_get_them(monkeypatch):
    """Without PESQ the message names what installs it."""
    monkeypatch.setitem(__import__("sys").modules, "pesq", None)
    with pytest.raises(BenchError, match="make bench-tools"):
        scores.check_installed()


def write_set(directory: Path, rows: list[str], header: str = "file,clean,id,rate,snr_db,noise") -> Path:
    """A manifest; returns its directory."""
    (directory / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    return directory


ROWS = [
    *[f"n{number}.wav,c{number}.wav,A{number:02},16000,{number % 3 * 5},hum" for number in range(9)],
    "w.wav,w.wav,B00,48000,5,hiss",
]


def test_set_is_read_from_its_manifest(tmp_path):
    """A pair has the paths, rate, SNR and noise of its row; rates that were not asked for are left out."""
    pairs = corpus.find(write_set(tmp_path, ROWS), rates=[16000])
    assert len(pairs) == 9
    assert pairs[1] == Pair(
        name="A01", rate=16000, snr=5.0, noise="hum", noisy=tmp_path / "n1.wav", clean=tmp_path / "c1.wav"
    )
    assert len(corpus.find(tmp_path, rates=[16000, 48000])) == 10


def test_limit_spreads_over_the_set(tmp_path):
    """A part of a set is taken evenly from all of it, for each rate."""
    found = corpus.find(write_set(tmp_path, ROWS), rates=[16000, 48000], limit=3)
    assert [pair.name for pair in found] == ["A00", "A03", "A06", "B00"]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (ROWS, "file,clean,id,rate,snr_db,noise", "no recordings at 8000 Hz, but at 16000, 48000 Hz"),
        (["a,b,c,fast,5"], "file,clean,id,rate,snr_db", "lacks what is needed"),
        (["a,b"], "file,clean", "lacks what is needed"),
    ],
)
def test_unusable_sets_are_refused(tmp_path, rows, header, message):
    """A set without the rate, a column or a number is refused with a message that says so."""
    with pytest.raises(BenchError, match=message):
        corpus.find(write_set(tmp_path, rows, header), rates=[8000])


def test_directory_without_a_manifest_is_refused(tmp_path):
    """A directory that is no set is refused, and the message names the file that is missing."""
    with pytest.raises(BenchError, match=r"manifest\.csv"):
        corpus.find(tmp_path, rates=[16000])


def pair(name: str, snr: float, rate: int = 16000) -> Pair:
    """A pair whose files are not there."""
    return Pair(name=name, rate=rate, snr=snr, noise="", noisy=Path(name), clean=Path(name))


def result(engine: str, of: Pair, value: float) -> Result:
    """A result with the same number for every metric."""
    return Result(trial=Trial(engine=engine, pair=of), scores=Scores(**dict.fromkeys(METRICS, value)))


ONE, TWO, WIDE = pair("one", 0), pair("two", 5), pair("one", 0, 48000)
FOUND = Results(
    (
        *[result(NOISY, of, 1.0) for of in (ONE, TWO, WIDE)],
        *[result(CLEAN, of, 4.0) for of in (ONE, TWO, WIDE)],
        *[result("stock", of, value) for of, value in ((ONE, 2.0), (TWO, 3.0), (WIDE, 2.0))],
        *[result("ours", of, value) for of, value in ((ONE, 2.5), (TWO, 3.1), (WIDE, 1.5))],
    )
)


def test_means_are_by_engine_rate_and_snr():
    """Every engine has a mean for each rate and SNR and one over all SNRs of a rate."""
    means = FOUND.means()
    assert list(means) == [NOISY, CLEAN, "stock", "ours"]
    assert {snr: found.pesq for snr, found in means["ours"][16000].items()} == pytest.approx(
        {"0": 2.5, "5": 3.1, "all": 2.8}
    )
    assert means["ours"][48000]["all"].stoi == 1.5


def test_gains_are_of_the_same_recordings():
    """A gain is the mean of the differences, with its standard error and the share of recordings that gained."""
    gain = FOUND.gains("stock")["ours"][16000]["pesq"]
    assert gain.mean == pytest.approx(0.3)
    assert gain.error == pytest.approx(0.2)
    assert gain.better == 1.0
    assert FOUND.gains("stock")["ours"][48000]["pesq"].better == 0.0
    assert FOUND.gains("nobody") == {}


def test_tables_hold_every_mean(capsys):
    """The tables name every engine and have its scores, in groups by rate and SNR."""
    from rich.console import Console

    console = Console(width=120)
    console.print(sound(FOUND))
    console.print(gains("stock", FOUND.gains("stock")))
    text = capsys.readouterr().out
    assert text.count("ours") == 3 + 2 + 2
    assert "2.80" in text
    assert "+0.30 ± 0.20" in text


def test_picture_is_a_png(tmp_path):
    """Results of two rates make one picture."""
    plot.draw(tmp_path / "scores.png", FOUND, "title")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_recording_is_written_and_read(tmp_path):
    """FLAC keeps the samples, MP3 about their number; both are found again at their rate."""
    samples = speech_like(1.0, 16000).astype(np.float32)
    for name, tolerance in (("a.flac", 0), ("a.mp3", 3000)):
        recording.write(tmp_path / name, samples, 16000)
        found, rate = recording.read(tmp_path / name)
        assert rate == 16000
        assert abs(len(found) - len(samples)) <= tolerance
    np.testing.assert_allclose(recording.read(tmp_path / "a.flac")[0], samples, atol=1e-4)


def test_recording_is_repeated_to_length_and_silence_refused():
    """A second becomes two and a half, the last half a repetition; silence would prove nothing."""
    samples = speech_like(1.0, 16000).astype(np.float32)
    longer = recording.repeated(samples, 16000, 2.5)
    assert longer.shape == (40000,)
    np.testing.assert_array_equal(longer[32000:], samples[:8000])
    with pytest.raises(BenchError, match="silence"):
        recording.repeated(np.zeros(10, np.float32), 16000, 1)


@pytest.fixture
def made_set(tmp_path) -> Path:
    """A set of two recordings of speech-like sound in noise."""
    for number in range(2):
        (tmp_path / f"c{number}.wav").write_bytes(wav_bytes(speech_like(3.0, 16000, number), 16000))
        (tmp_path / f"n{number}.wav").write_bytes(wav_bytes(noisy_speech(3.0, 16000, number), 16000))
    return write_set(tmp_path, ROWS[:2])


def test_clean_is_the_ceiling_and_off_is_noisy(made_set):
    """The clean recording has no distortion; the engine that removes nothing scores as the noisy one."""
    need_tools()
    found = corpus.find(made_set, rates=[16000])[0]
    clean, noisy, off = (conduct(Trial(engine=engine, pair=found)).scores for engine in (CLEAN, NOISY, "off"))
    assert clean.si_sdr == float("inf")
    assert clean.pesq > noisy.pesq
    assert clean.stoi == pytest.approx(1)
    # To the engine's rate and back, the noise at the band's edge is lost.
    assert off.si_sdr == pytest.approx(noisy.si_sdr, abs=0.5)


def test_recording_without_speech_is_named(tmp_path):
    """A recording in which PESQ hears no speech ends the run with a message that names engine and file."""
    need_tools()
    for name in ("c0.wav", "n0.wav"):
        (tmp_path / name).write_bytes(wav_bytes(np.zeros(16000), 16000))
    silent = corpus.find(write_set(tmp_path, ROWS[:1]), rates=[16000])[0]
    with pytest.raises(BenchError, match=r"noisy, n0\.wav: PESQ hears no speech"):
        conduct(Trial(engine=NOISY, pair=silent))
