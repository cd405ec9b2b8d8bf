"""The whole sound path, file to file and in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sordino
from audio.sounds import error_db, lag, read_media, voice, write_media
from sordino.audio.errors import OrderError
from sordino.audio.order import SAMPLE_RATES, MediaFormat
from sordino.audio.resample import Resampler
from sordino.denoisers import UnknownDenoiserError


def noisy(seconds: float, rate: int) -> np.ndarray:
    """The voice in steady noise; float32, shape (samples,)."""
    noise = np.random.default_rng(5).standard_normal(round(seconds * rate))
    return voice(seconds, rate) + (0.05 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """2.5 s of speech in noise as a stereo FLAC file at 44.1 kHz."""
    speech = noisy(2.5, 44100)
    path = tmp_path_factory.mktemp("recording") / "noisy.flac"
    return write_media(path, np.stack((speech, speech), axis=1), 44100, "flac")


@pytest.mark.parametrize(("form", "rate"), [(form, rate) for form in MediaFormat for rate in form.rates])
def test_the_result_is_as_long_as_the_input_and_in_place(form, rate, recording, tmp_path):
    """In each format and rate the result has the input's duration to the sample, and its sounds where they were."""
    target = tmp_path / f"clean.{form}"
    report = sordino.denoise_file(recording, target, rate=rate, denoiser="off")
    samples, read_rate = read_media(target)
    # Opus always decodes to 48 kHz.
    assert (read_rate, report.rate) == (48000 if form == "opus" else rate, rate)
    assert (samples.shape[1], report.channels) == (1, 1)
    assert len(samples) == round(2.5 * read_rate)
    assert report.seconds == 2.5
    assert report.size == target.stat().st_size
    assert (report.source_rate, report.source_channels, report.note) == (44100, 2, "")
    resampler = Resampler(44100, read_rate, 1)
    reference = np.concatenate([resampler.push(noisy(2.5, 44100)[:, None]), resampler.flush()])
    assert lag(samples[:, 0], reference[:, 0]) == 0


def test_the_names_in_the_report(recording, tmp_path):
    """The report names container and codec as FFmpeg does."""
    names = {form: sordino.denoise_file(recording, tmp_path / f"a.{form}", denoiser="off") for form in MediaFormat}
    assert {form: (report.format_name, report.codec_name) for form, report in names.items()} == {
        "wav": ("wav", "pcm_s16le"),
        "mp3": ("mp3", "mp3"),
        "m4a": ("mov,mp4,m4a,3gp,3g2,mj2", "aac"),
        "flac": ("flac", "flac"),
        "opus": ("ogg", "opus"),
    }


def pauses(samples: np.ndarray, rate: int) -> np.ndarray:
    """The samples between the voice's syllables, without the first half second and the syllables' edges."""
    time = np.arange(len(samples)) / rate
    return samples[(np.sin(2 * np.pi * 2.3 * time) < -0.5) & (time > 0.5)]


def test_noise_goes_and_the_voice_stays(recording, tmp_path):
    """With the speech model the pauses become quieter by 10 dB, and the voice keeps its place."""
    report = sordino.denoise_file(recording, tmp_path / "clean.wav", rate=48000)
    clean, _ = read_media(tmp_path / "clean.wav")
    assert len(clean) == 2.5 * 48000
    assert report.note == ""
    assert abs(lag(clean[:, 0], voice(2.5, 48000))) <= 1
    assert np.std(pauses(clean[:, 0], 48000)) < 0.3 * np.std(pauses(noisy(2.5, 48000), 48000))


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 8000), (11025, 12000), (44100, 44100), (96000, 48000)])
def test_the_rate_that_keeps_the_band(rate, wanted, tmp_path):
    """Without a rate, the least that keeps all of the input's band is taken."""
    source = write_media(tmp_path / "a.wav", voice(0.5, rate), rate, "pcm_s16le")
    assert sordino.denoise_file(source, tmp_path / "b.wav", rate=None, denoiser="off").rate == wanted


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 9000),
    rate=st.sampled_from([8000, 11025, 44056, 48000]),
    to_rate=st.sampled_from(SAMPLE_RATES),
)
def test_durations_are_exact(length, rate, to_rate, tmp_path_factory):
    """The result holds the input's duration rounded to the nearest sample, for any two rates."""
    place = tmp_path_factory.mktemp("durations")
    source = write_media(place / "a.wav", np.zeros(length, np.float32), rate, "pcm_s16le")
    try:
        report = sordino.denoise_file(source, place / "b.wav", rate=to_rate, denoiser="off")
    except sordino.MediaError:
        assert 2 * length * to_rate < rate
        return
    assert abs(2 * (round(report.seconds * to_rate) * rate - length * to_rate)) <= rate


def test_progress_rises_to_one(recording, tmp_path):
    """The progress never falls, and 1 comes last."""
    shares = []
    sordino.denoise_file(recording, tmp_path / "a.wav", denoiser="off", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 2


def test_nothing_is_left_of_a_failure(tmp_path):
    """When the input cannot be processed, what lay under the target's name is still there, and nothing else."""
    source, target = tmp_path / "a.mp3", tmp_path / "b.wav"
    source.write_bytes(b"no audio here")
    target.write_bytes(b"older")
    with pytest.raises(sordino.MediaError):
        sordino.denoise_file(source, target, denoiser="off")
    assert target.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp3", "b.wav"]


def test_the_input_is_never_replaced(recording, tmp_path):
    """A target that is the input, also by another name, is refused."""
    alias = tmp_path / "alias.wav"
    alias.symlink_to(recording)
    before = recording.read_bytes()
    with pytest.raises(OrderError, match="is the input"):
        sordino.denoise_file(recording, alias, denoiser="off")
    assert recording.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rate": 22050}, OrderError),
        ({"format": "ogg"}, OrderError),
        ({"denoiser": "nobody"}, UnknownDenoiserError),
        ({"target": "a.aiff"}, OrderError),
        ({"target": "a.opus", "rate": 44100}, OrderError),
        ({"target": "a.wav", "video": True}, OrderError),
        ({"target": "a"}, OrderError),
        ({"target": "."}, IsADirectoryError),
        ({"target": "/dev/null"}, OSError),
        ({"target": "/dev/null", "format": "wav"}, OSError),
        ({"target": "nowhere/a.wav"}, FileNotFoundError),
        ({"source": "missing.wav"}, FileNotFoundError),
    ],
)
def test_wrong_orders_are_refused(options, error, recording, tmp_path):
    """Unknown rates, formats, engines and places raise, and write nothing."""
    source = tmp_path / options.pop("source") if "source" in options else recording
    target = tmp_path / options.pop("target", "a.wav")
    with pytest.raises(error):
        sordino.denoise_file(source, target, **options)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30, deadline=None)
@given(
    shape=st.one_of(st.tuples(st.integers(0, 4000)), st.tuples(st.integers(0, 4000), st.integers(1, 3))),
    dtype=st.sampled_from([np.float32, np.float64, np.int16]),
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
)
def test_arrays_keep_shape_and_type(shape, dtype, rate):
    """What comes out of memory has the shape and dtype of what went in."""
    samples = np.zeros(shape, dtype)
    result = sordino.denoise(samples, rate, denoiser="off")
    assert (result.shape, result.dtype) == (samples.shape, samples.dtype)
    assert result is not samples


@pytest.mark.parametrize("rate", [16000, 48000])
def test_arrays_stay_aligned(rate):
    """With nothing to remove, the samples come back in place, channel by channel."""
    table = np.stack((voice(2.0, rate), noisy(2.0, rate)), axis=1)
    result = sordino.denoise(table, rate, denoiser="off")
    assert error_db(table, result) < (-25 if rate == 16000 else -100)
    whole = sordino.denoise(np.round(table * 32767).astype(np.int16), rate, denoiser="off")
    assert np.abs(whole / 32768 - result).max() < 3e-4


def test_arrays_are_denoised():
    """The speech model takes noise out of an array and leaves the speech in place."""
    clean = sordino.denoise(noisy(2.0, 16000), 16000)
    assert abs(lag(clean, voice(2.0, 16000))) <= 1
    assert np.std(pauses(clean, 16000)) < 0.3 * np.std(pauses(noisy(2.0, 16000), 16000))


def test_invalid_numbers_in_arrays_count_as_silence():
    """NaN and infinities do not spread."""
    samples = voice(0.5, 48000)
    samples[100:110] = np.nan
    samples[200] = np.inf
    assert np.isfinite(sordino.denoise(samples, 48000, denoiser="off")).all()


@pytest.mark.parametrize(
    ("samples", "rate", "error"),
    [
        ([0.0, 1.0], 16000, TypeError),
        (np.zeros(10, np.int32), 16000, TypeError),
        (np.zeros(10, np.complex64), 16000, TypeError),
        (np.zeros((2, 2, 2), np.float32), 16000, ValueError),
        (np.zeros((10, 0), np.float32), 16000, ValueError),
        (np.float32(1), 16000, TypeError),
        (np.zeros(10, np.float32), 16000.0, TypeError),
        (np.zeros(10, np.float32), True, TypeError),
        (np.zeros(10, np.float32), 0, ValueError),
        (np.zeros(10, np.float32), -16000, ValueError),
    ],
)
def test_wrong_arrays_are_refused(samples, rate, error):
    """Other types, shapes and rates raise with the reason."""
    with pytest.raises(error, match="must"):
        sordino.denoise(samples, rate, denoiser="off")


def test_the_import_is_light():
    """Importing the package imports neither NumPy nor FFmpeg."""
    code = "import sordino, sys; print(*{'numpy', 'av', 'onnxruntime'} & set(sys.modules)); sordino.denoise"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_the_public_names():
    """What the package offers is there, and what it does not raises AttributeError."""
    assert all(hasattr(sordino, name) for name in sordino.__all__)
    assert set(sordino.__all__) <= set(dir(sordino))
    with pytest.raises(AttributeError, match="nothing"):
        sordino.nothing  # noqa: B018


def test_channels_first_is_refused():
    """Samples with the channels first are not taken for thousands of channels; the message says what to do."""
    with pytest.raises(ValueError, match=r"48000 channels.*\(samples, channels\); transpose it"):
        sordino.denoise(np.zeros((2, 48000), np.float32), 48000, denoiser="off")


def test_the_errors_of_public_functions_are_public():
    """What `sordino.denoise_file` documents to raise can be caught by names of the package."""
    assert {"MediaError", "OrderError", "UnknownDenoiserError", "WeightsError"} <= set(sordino.__all__)
    assert sordino.OrderError is OrderError
    assert sordino.UnknownDenoiserError is UnknownDenoiserError
