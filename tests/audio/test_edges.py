"""Recordings at the edges of what a sample can be: what comes out is finite, as long as the input, and sane."""

import numpy as np
import pytest

import sordino
from audio.sounds import read_media, voice, write_media

RATE = 16000
SECONDS = 1.0


def tone(frequency: float, amplitude: float) -> np.ndarray:
    """A sine, float32."""
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(SECONDS * RATE)) / RATE)).astype(np.float32)


def with_damage() -> np.ndarray:
    """Speech in which some samples are no numbers, infinite or absurd."""
    samples = voice(SECONDS, RATE)
    samples[100:200] = np.nan
    samples[300], samples[301], samples[302] = np.inf, -np.inf, 3e38
    return samples


RECORDINGS = {
    "clipped": np.clip(6 * voice(SECONDS, RATE), -1, 1),
    "beyond full scale": 8 * voice(SECONDS, RATE),
    "offset": voice(SECONDS, RATE) * 0.4 + np.float32(0.5),
    "offset alone": np.full(RATE, 0.9, np.float32),
    "damage": with_damage(),
    "damage alone": np.full(RATE, np.nan, np.float32),
    "denormals": np.full(RATE, 1e-40, np.float32) * np.where(np.arange(RATE) % 2, 1, -1).astype(np.float32),
    "digital silence": np.zeros(RATE, np.float32),
    "silence, then speech": np.concatenate((np.zeros(RATE, np.float32), voice(SECONDS, RATE))),
    "one sample": np.full(1, 0.5, np.float32),
    "two samples": np.array([1.0, -1.0], np.float32),
    "square wave": np.sign(tone(440, 1.0)),
    "square wave at half the rate": np.where(np.arange(RATE) % 2, 1.0, -1.0).astype(np.float32),
    "very quiet": voice(SECONDS, RATE) * np.float32(1e-4),
}

CONTROLS = ({}, {"strength": 12}, {"loudness": "keep"}, {"loudness": -16.0})


@pytest.mark.parametrize("controls", CONTROLS, ids=str)
@pytest.mark.parametrize("name", RECORDINGS)
def test_arrays_at_the_edge(name, controls):
    """In memory, with each control: finite, as long as the input, not much louder, the input untouched."""
    samples = RECORDINGS[name]
    before = samples.copy()
    result = sordino.denoise(samples, RATE, **controls)
    assert result.shape == samples.shape
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(samples, before)
    sane = np.where(np.abs(np.nan_to_num(samples)) < 1e6, np.nan_to_num(samples), 0)
    loudest = 1.0 if "loudness" in controls else 1.5 * np.abs(sane).max(initial=0.0) + 1e-6
    assert np.abs(result).max(initial=0.0) <= loudest


@pytest.mark.parametrize("name", RECORDINGS)
def test_files_at_the_edge(name, tmp_path):
    """From file to file: as long as the input, and every number of the report finite or missing."""
    samples = RECORDINGS[name]
    source = write_media(tmp_path / "a.wav", samples, RATE, "pcm_f32le")
    report = sordino.denoise_file(source, tmp_path / "b.wav")
    result, _ = read_media(tmp_path / "b.wav")
    assert len(result) == len(samples)
    for quality in (report.before, report.after):
        assert quality is not None
        numbers = (quality.noise_floor, quality.snr, quality.loudness, quality.clipped)
        assert all(number is None or np.isfinite(number) for number in numbers)


def test_silence_stays_digital_silence(tmp_path):
    """Nothing comes out of nothing: not a bit, in any control."""
    for controls in CONTROLS:
        assert not sordino.denoise(RECORDINGS["digital silence"], RATE, **controls).any()


def test_an_offset_does_not_grow():
    """A constant offset is not amplified, and does not keep the voice from coming through."""
    result = sordino.denoise(RECORDINGS["offset"], RATE)
    assert abs(result[RATE // 4 : -RATE // 4].mean()) <= 0.5
    assert np.std(result) > 0.3 * np.std(0.4 * voice(SECONDS, RATE))


def test_damage_counts_as_silence():
    """Samples that are no numbers are as if they had been 0."""
    samples = RECORDINGS["damage"]
    mended = np.where(np.abs(np.nan_to_num(samples, posinf=0, neginf=0)) < 1e6, samples, 0).astype(np.float32)
    mended = np.nan_to_num(mended, posinf=0, neginf=0)
    np.testing.assert_array_equal(sordino.denoise(samples, RATE), sordino.denoise(mended, RATE))


def test_clipping_is_reported(tmp_path):
    """A recording that is cut off at full scale says so."""
    source = write_media(tmp_path / "a.wav", RECORDINGS["clipped"], RATE, "pcm_s16le")
    report = sordino.denoise_file(source, tmp_path / "b.wav")
    assert report.before is not None
    assert report.before.clipped > 0.05
