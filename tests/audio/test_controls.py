"""Strength, channels and loudness, from the library down to the samples."""

import numpy as np
import pytest

import sordino
from audio.sounds import error_db, read_media, true_peak, voice, write_media
from sordino.audio import sandbox
from sordino.audio.level import Levels
from sordino.audio.loudness import LoudnessMeter
from sordino.audio.order import Channels, MediaLimits, MediaOrder
from sordino.audio.resample import Resampler

RATE = 16000


def noisy(seconds: float, rate: int = RATE, noise: float = 0.03) -> np.ndarray:
    """The voice, after a second of silence, in white noise; float32, shape (samples,)."""
    speech = np.concatenate((np.zeros(rate, np.float32), voice(seconds - 1, rate)))
    return speech + (noise * np.random.default_rng(5).standard_normal(len(speech))).astype(np.float32)


def loudness(samples: np.ndarray, rate: int) -> float:
    """The integrated loudness of ``samples``, (samples,) or (samples, channels)."""
    table = samples.reshape(len(samples), -1)
    meter = LoudnessMeter(rate, table.shape[1])
    meter.push(table)
    measured = meter.integrated()
    assert measured is not None
    return measured


def floor(samples: np.ndarray, rate: int) -> float:
    """The level of the quietest frames, dBFS."""
    meter = Levels(rate)
    meter.push(samples[:, None])
    level = meter.noise_floor(10)
    assert level is not None
    return level


class TestStrength:
    """The attenuation limit."""

    def test_nothing_is_taken_at_0(self, tmp_path):
        """At the input's rate a strength of 0 gives back every sample of the file, also in stereo."""
        pcm = (np.random.default_rng(1).integers(-32768, 32768, (30_000, 2)) / 32768).astype(np.float32)
        source = write_media(tmp_path / "a.wav", pcm, 44100, "pcm_s16le")
        sordino.denoise_file(source, tmp_path / "b.wav", rate=44100, strength=0, channels="keep", loudness="keep")
        np.testing.assert_array_equal(read_media(tmp_path / "b.wav")[0], pcm)

    def test_nothing_is_taken_from_an_array_at_0(self):
        """In memory a strength of 0 gives back every sample, whatever the rate and the type."""
        samples = noisy(1.5, 22050)
        np.testing.assert_array_equal(sordino.denoise(samples, 22050, strength=0), samples)
        pcm = (samples * 32767).astype(np.int16)
        np.testing.assert_array_equal(sordino.denoise(pcm, 22050, strength=0), pcm)

    def test_at_0_another_rate_is_resampled_once(self, tmp_path):
        """At another rate a strength of 0 leaves one conversion, from the input's rate to the output's."""
        source = write_media(tmp_path / "a.flac", noisy(1.5, 44100), 44100, "flac")
        sordino.denoise_file(source, tmp_path / "b.wav", rate=16000, strength=0)
        resampler = Resampler(44100, 16000, 1)
        wanted = np.concatenate((resampler.push(read_media(source)[0]), resampler.flush()))
        assert np.abs(read_media(tmp_path / "b.wav")[0] - wanted).max() <= 0.51 / 32768

    def test_100_sets_no_limit(self):
        """A strength of 100 is the engine itself, bit by bit."""
        samples = noisy(2.0)
        np.testing.assert_array_equal(sordino.denoise(samples, RATE, strength=100), sordino.denoise(samples, RATE))

    def test_the_limit_holds(self):
        """The noise in a pause goes down by the strength; the less is taken, the more stays."""
        samples = noisy(4.0)
        floors = [floor(sordino.denoise(samples, RATE, strength=limit), RATE) for limit in (0, 6, 12, 20)]
        taken = [floors[0] - level for level in floors]
        assert taken == sorted(taken)
        assert taken[1] == pytest.approx(6, abs=1.5)
        assert taken[2] == pytest.approx(12, abs=2)

    @pytest.mark.parametrize("strength", [-1, 101, 20.5, "20", True])
    def test_wrong_strengths_are_refused(self, strength, tmp_path):
        """What is no whole number from 0 to 100 raises, and says what is legal."""
        with pytest.raises(ValueError, match="0 to 100"):
            sordino.denoise(noisy(1.5), RATE, strength=strength)
        with pytest.raises(sordino.OrderError, match="0 to 100"):
            sordino.denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", strength=strength)


class TestLoudness:
    """Target loudness, and the loudness of the speech kept."""

    @pytest.mark.parametrize("target", [-30.0, -23, -16.0])
    @pytest.mark.parametrize("rate", [8000, 48000])
    def test_the_target_is_met(self, target, rate, tmp_path):
        """The file has the loudness asked for within 0.1 LU, and no true peak over -1 dBTP."""
        source = write_media(tmp_path / "a.wav", 0.3 * noisy(4.0, 44100), 44100, "pcm_s16le")
        report = sordino.denoise_file(source, tmp_path / "b.wav", rate=rate, loudness=target)
        samples, _ = read_media(tmp_path / "b.wav")
        assert len(samples) == 4 * rate
        assert loudness(samples, rate) == pytest.approx(target, abs=0.1)
        assert true_peak(samples[:, 0]) <= -1.0
        assert report.after is not None
        assert report.after.loudness == pytest.approx(target, abs=0.1)

    def test_peaks_stay_under_the_ceiling(self):
        """A target that only limiting could reach leaves the true peak at -1 dBTP, and costs some loudness."""
        loud = sordino.denoise(noisy(4.0), RATE, strength=0, loudness=-5.0)
        assert -1.5 < true_peak(loud) <= -1.0
        assert -12 < loudness(loud, RATE) < -5

    def test_what_the_limiter_takes_is_made_up_for(self):
        """Where peaks must be limited by a few decibels the target is met all the same."""
        peaks = noisy(6.0)
        peaks[RATE + 2000 :: RATE // 3] += 0.5
        target = loudness(peaks, RATE) - true_peak(peaks) + 2
        result = sordino.denoise(peaks, RATE, strength=0, loudness=target)
        assert true_peak(result) <= -1.0
        assert loudness(result, RATE) == pytest.approx(target, abs=0.11)

    def test_stereo_is_levelled_as_one(self):
        """Both channels of a stereo recording get the same gain."""
        samples = 0.1 * noisy(3.0)
        table = np.stack((samples, 0.5 * samples), axis=1)
        result = sordino.denoise(table, RATE, strength=0, loudness=-20.0)
        assert loudness(result, RATE) == pytest.approx(-20.0, abs=0.1)
        np.testing.assert_allclose(result[:, 1], 0.5 * result[:, 0], atol=1e-6)

    def test_silence_stays_silence(self):
        """What is too quiet to have a loudness is left as it is."""
        assert not sordino.denoise(np.zeros(RATE, np.float32), RATE, denoiser="off", loudness=-20.0).any()

    def test_the_speech_keeps_its_level(self):
        """With ``keep`` what the engine took from the voice is given back, though it stands in noise."""
        samples = noisy(6.0)
        clean = np.concatenate((np.zeros(RATE, np.float32), voice(5.0, RATE)))
        kept = sordino.denoise(samples, RATE, loudness="keep")

        def gain(result: np.ndarray) -> float:
            return float(20 * np.log10(np.dot(result, clean) / np.dot(clean, clean)))

        assert abs(gain(kept)) < 0.4
        assert abs(gain(kept)) <= abs(gain(sordino.denoise(samples, RATE))) + 0.05

    def test_a_file_and_an_array_are_levelled_alike(self, tmp_path):
        """The library gives the same in memory as from file to file."""
        samples = read_media(write_media(tmp_path / "a.wav", noisy(3.0), RATE, "pcm_s16le"))[0][:, 0]
        sordino.denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", loudness=-18.5)
        in_memory = sordino.denoise(samples, RATE, loudness=-18.5)
        assert np.abs(read_media(tmp_path / "b.wav")[0][:, 0] - in_memory).max() < 2e-4

    @pytest.mark.parametrize("target", [-70.1, -4.9, "loud", float("nan"), True])
    def test_wrong_targets_are_refused(self, target):
        """What is no loudness from -70 to -5 LUFS raises, and says what is legal."""
        with pytest.raises(sordino.OrderError, match="-70 to -5"):
            sordino.denoise(noisy(1.5), RATE, loudness=target)

    def test_the_work_goes_on_without_a_pause(self, tmp_path):
        """The progress rises through both passes, to 1."""
        source = write_media(tmp_path / "a.wav", noisy(5.0), RATE, "pcm_s16le")
        shares: list[float] = []
        sordino.denoise_file(source, tmp_path / "b.wav", denoiser="off", loudness=-20.0, progress=shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert len(set(shares)) > 8


def panned(left: float, right: float, shift: int, seconds: float = 4.0) -> np.ndarray:
    """The noisy voice at two levels, the right channel ``shift`` samples later; (samples, 2)."""
    samples = noisy(seconds, noise=0.005)
    return np.stack((left * samples, right * np.roll(samples, shift)), axis=1).astype(np.float32)


class TestChannels:
    """Several channels kept, or mixed."""

    @pytest.mark.parametrize(("left", "right", "shift"), [(1.0, 0.3, 0), (0.2, 1.0, 0), (0.8, 0.8, 8), (1.0, 0.5, -5)])
    def test_the_image_stays(self, left, right, shift):
        """The level between the channels of a panned voice stays within 0.5 dB, and the time to a tenth of a sample."""
        table = panned(left, right, shift)
        result = sordino.denoise(table, RATE)
        ratio = 20 * np.log10(np.std(result[:, 1]) / np.std(result[:, 0]))
        assert ratio == pytest.approx(20 * np.log10(right / left), abs=0.5)
        assert between(result) == pytest.approx(shift, abs=0.1)

    def test_opposite_phase_stays_opposite(self):
        """A pair in opposite phase is neither cancelled nor turned."""
        samples = noisy(4.0)
        result = sordino.denoise(np.stack((samples, -samples), axis=1), RATE)
        assert error_db(result[:, 0], -result[:, 1]) < -60
        assert np.std(result[:, 0]) > 0.5 * np.std(sordino.denoise(samples, RATE))

    def test_files_keep_their_channels(self, tmp_path):
        """A stereo file stays stereo, a mono file mono; by default all are mixed to one."""
        source = write_media(tmp_path / "a.wav", panned(1.0, 0.3, 0), RATE, "pcm_s16le")
        report = sordino.denoise_file(source, tmp_path / "b.flac", channels="keep")
        samples, _ = read_media(tmp_path / "b.flac")
        assert (report.channels, samples.shape[1], report.source_channels) == (2, 2, 2)
        assert np.std(samples[:, 1]) / np.std(samples[:, 0]) == pytest.approx(0.3, rel=0.06)
        assert sordino.denoise_file(source, tmp_path / "c.wav").channels == 1
        mono = write_media(tmp_path / "m.wav", noisy(1.5), RATE, "pcm_s16le")
        assert sordino.denoise_file(mono, tmp_path / "d.wav", channels="keep").channels == 1

    def test_more_than_two_channels_are_kept(self, tmp_path):
        """Six channels come out as six, in place."""
        table = np.stack([level * noisy(1.5, noise=0.0) for level in (1.0, 0.8, 0.6, 0.0, 0.3, 0.2)], axis=1)
        source = write_media(tmp_path / "a.wav", table, RATE, "pcm_s16le")
        sordino.denoise_file(source, tmp_path / "b.wav", channels="keep", denoiser="off")
        samples, _ = read_media(tmp_path / "b.wav")
        assert samples.shape == table.shape
        assert error_db(table, samples) < -25

    def test_more_channels_than_the_format_holds(self, tmp_path):
        """MP3 takes two channels; six are refused with what to do, and nothing is written."""
        source = write_media(tmp_path / "a.wav", np.zeros((8000, 6), np.float32), RATE, "pcm_s16le")
        with pytest.raises(sordino.MediaError, match="6"):
            sordino.denoise_file(source, tmp_path / "b.mp3", channels="keep", denoiser="off")
        assert not (tmp_path / "b.mp3").exists()

    def test_a_word_that_is_no_choice_is_refused(self, tmp_path):
        """Channels are mixed or kept."""
        with pytest.raises(sordino.OrderError, match="mix, keep"):
            sordino.denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", channels="both")


def between(table: np.ndarray) -> float:
    """By how many samples the second channel is later than the first, to fractions; by the phase of the low bins."""
    first, second = (np.fft.rfft(channel) for channel in table.T)
    cross = (first * second.conj())[: len(table) // 16]
    bins = np.arange(len(cross))
    lags = np.linspace(-20, 20, 4001)
    match = [np.real(np.sum(cross * np.exp(-2j * np.pi * bins * lag / len(table)))) for lag in lags]
    return float(lags[int(np.argmax(match))])


class TestReport:
    """The quality before and after."""

    async def test_it_is_the_same_from_a_process_of_its_own(self, tmp_path):
        """A confined process with every control makes the same file and the same report as the library."""
        table = np.stack((noisy(3.0), 0.5 * noisy(3.0)), axis=1)
        source = write_media(tmp_path / "a.wav", table, RATE, "pcm_s16le")
        wanted = sordino.denoise_file(source, tmp_path / "b.wav", channels="keep", loudness=-20.0, strength=30)
        order = MediaOrder(channels=Channels.KEEP, loudness=-20.0, strength=30)
        with source.open("rb") as read, (tmp_path / "c.wav").open("x+b") as written:
            report = await sandbox.run(read, written, order, MediaLimits(seconds=60))
        assert report == wanted
        assert (tmp_path / "c.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()

    def test_noise_is_lower_after(self, tmp_path):
        """Of a noisy voice the report tells a lower floor and a better ratio after, and the loudness of both."""
        source = write_media(tmp_path / "a.wav", noisy(4.0), RATE, "pcm_s16le")
        report = sordino.denoise_file(source, tmp_path / "b.wav")
        before, after = report.before, report.after
        assert before is not None
        assert after is not None
        assert before.noise_floor == pytest.approx(20 * np.log10(0.03), abs=1)
        assert after.noise_floor < before.noise_floor - 10
        assert after.snr > before.snr + 10
        assert before.loudness == pytest.approx(loudness(read_media(source)[0], RATE), abs=0.01)
        assert after.loudness == pytest.approx(loudness(read_media(tmp_path / "b.wav")[0], RATE), abs=0.1)
        assert (before.clipped, after.clipped) == (0, 0)

    def test_clipping_is_told_of_the_channels_as_they_came(self, tmp_path):
        """One channel of two that is cut off is found though the mix of both is not."""
        table = np.stack((np.clip(4 * voice(2.0, RATE), -1, 1), 0.1 * noisy(2.0)), axis=1)
        source = write_media(tmp_path / "a.wav", table, RATE, "pcm_s16le")
        report = sordino.denoise_file(source, tmp_path / "b.wav", denoiser="off")
        assert report.before.clipped > 0.01
        assert report.after.clipped == 0

    def test_short_recordings_are_scored_when_asked(self, tmp_path, monkeypatch):
        """DNSMOS costs more than its share of a short recording: it is scored on demand, a long one by itself."""
        if sordino.audio.dnsmos.find_model() is None:
            pytest.skip("the extra `quality`, which brings the DNSMOS model, is not installed")
        source = write_media(tmp_path / "a.wav", noisy(3.0), RATE, "pcm_s16le")
        unasked = sordino.denoise_file(source, tmp_path / "b.wav", denoiser="off")
        assert (unasked.before.dnsmos, unasked.after.dnsmos) == (None, None)
        asked = sordino.denoise_file(source, tmp_path / "b.wav", score=True)
        assert asked.after.dnsmos.background > asked.before.dnsmos.background
        monkeypatch.setattr("sordino.audio.process.SECONDS_A_SCORE", 3)
        long = sordino.denoise_file(source, tmp_path / "b.wav", denoiser="off")
        assert long.before.dnsmos is not None

    def test_without_the_extra_nothing_is_scored(self, tmp_path, monkeypatch):
        """Where the model is not installed the scores are missing, and nothing else."""
        monkeypatch.setattr("sordino.audio.dnsmos.find_model", lambda: None)
        source = write_media(tmp_path / "a.wav", noisy(1.5), RATE, "pcm_s16le")
        report = sordino.denoise_file(source, tmp_path / "b.wav", denoiser="off", score=True)
        assert report.before.dnsmos is None
        assert report.before.loudness is not None
