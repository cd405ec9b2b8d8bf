"""The set of recordings that `make bench-data` mixes, and the pictures that `make spectrograms` draws."""

from pathlib import Path

import av
import numpy as np
import pytest

import noisy_speech
import spectrograms
from sordino.bench import corpus, recording
from sordino.bench.corpus import Pair
from sordino.bench.scores import RATE
from support import speech_like

NOISE = (0.1 * np.random.default_rng(3).standard_normal(3 * RATE)).astype(np.float32)


def write_prompt(path: Path, samples: np.ndarray) -> None:
    """A G.722 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="g722") as file:
        stream = file.add_stream("g722", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.round(32767 * samples).astype("<i2")[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for part in (frame, None):
            file.mux(stream.encode(part))


def write_noise(path: Path, samples: np.ndarray) -> None:
    """A file that is told by its content, FLAC, and found by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    recording.write(path.with_suffix(".flac"), samples, RATE)
    path.with_suffix(".flac").rename(path)


@pytest.fixture
def packages(tmp_path) -> Path:
    """What packages would hold: prompts of several lengths, of silence, and a noise long enough."""
    for number, seconds in enumerate((1, 6, 7, 20)):
        write_prompt(tmp_path / f"speech/en/prompt{number}.g722", speech_like(seconds, RATE, number))
    write_prompt(tmp_path / "speech/en/silence/6.g722", np.zeros(6 * RATE))
    write_noise(tmp_path / "noise/rain.ogg", NOISE)
    write_noise(tmp_path / "noise/drop.ogg", NOISE[:800])
    return tmp_path


def test_made_set_can_be_measured(packages, tmp_path):
    """Prompts of the wanted lengths are mixed with noise that is long enough, and the manifest lists them."""
    directory = tmp_path / "made"
    assert noisy_speech.make(directory, [packages / "speech"], packages / "noise") == 2
    pairs = corpus.find(directory, rates=[RATE])
    assert [pair.snr for pair in pairs] == [-5, 0]
    assert {pair.noise for pair in pairs} == {"rain"}
    assert [len(recording.read(pair.clean)[0]) for pair in pairs] == [6 * RATE, 7 * RATE]
    for pair in pairs:
        noisy, clean = recording.read(pair.noisy), recording.read(pair.clean)
        assert noisy[1] == clean[1] == RATE
        assert noisy[0].shape == clean[0].shape
        assert clean[0].any()


def test_set_without_recordings_is_refused(tmp_path):
    """Packages that hold no speech or noise any more are told, rather than making an empty set."""
    with pytest.raises(noisy_speech.SetError, match="no longer"):
        noisy_speech.make(tmp_path / "made", [tmp_path], tmp_path)


def test_set_needs_debian(tmp_path, monkeypatch):
    """Where there is no apt-get, the message says what to bring instead."""
    monkeypatch.setattr(noisy_speech.shutil, "which", lambda _: None)
    with pytest.raises(noisy_speech.SetError, match=r"manifest\.csv"):
        noisy_speech._unpacked("minetest-data", tmp_path)


@pytest.mark.parametrize("snr", [-5, 0, 15])
def test_mixture_has_the_snr_and_does_not_clip(snr):
    """The noise lies below the speech by the SNR, and both keep below full scale."""
    speech = speech_like(6.0, RATE).astype(np.float32)
    mixture = noisy_speech.mix(speech, NOISE, snr)
    noise = mixture.noisy - mixture.clean
    spoken = noisy_speech._level(mixture.clean)
    assert spoken - noisy_speech._level(noise) == pytest.approx(snr, abs=0.01)
    assert np.abs(mixture.noisy).max() <= noisy_speech.PEAK + 1e-6
    assert spoken <= noisy_speech.LEVEL_DBFS + 0.01


def pair(name: str, snr: float, noise: str) -> Pair:
    """A pair whose files are not there."""
    return Pair(name=name, rate=RATE, snr=snr, noise=noise, noisy=Path(name), clean=Path(name))


def test_pictures_spread_over_snrs_and_noises():
    """One recording of each SNR is chosen, of another noise where there is one."""
    pairs = [pair(f"{snr}{noise}", snr, noise) for snr in (5, -5, 0) for noise in ("rain", "wind", "dog")]
    assert [one.name for one in spectrograms.spread(pairs, 3)] == ["-5rain", "0wind", "5dog"]
    assert len(spectrograms.spread(pairs, 20)) == 9


def test_pictures_are_drawn(packages, tmp_path, monkeypatch, capsys):
    """Each recording has one picture with what was, what an engine made of it, and the clean one."""
    directory = tmp_path / "made"
    noisy_speech.make(directory, [packages / "speech"], packages / "noise")
    options = ["--data", directory, "--engine", "off", "--output", tmp_path / "out", "--names", "D01"]
    monkeypatch.setattr("sys.argv", ["spectrograms.py", *map(str, options)])
    assert spectrograms.main() == 0
    assert (tmp_path / "out/spectrogram-D01.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert capsys.readouterr().out.endswith("spectrogram-D01.png\n")
    panels = spectrograms.panels(corpus.find(directory, rates=[RATE])[1], "off")
    assert [len(samples) for samples in panels.values()] == [7 * RATE] * 3


def test_unknown_recordings_are_refused(packages, tmp_path, monkeypatch, capsys):
    """An id that the set does not have ends in a message."""
    directory = tmp_path / "made"
    noisy_speech.make(directory, [packages / "speech"], packages / "noise")
    monkeypatch.setattr("sys.argv", ["spectrograms.py", "--data", str(directory), "--names", "X"])
    assert spectrograms.main() == 1
    assert "'X'" in capsys.readouterr().err
