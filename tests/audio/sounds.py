"""What the tests of the sound path share: signals, media files that PyAV writes, and measures."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sordino.audio.decode import open_input


def voice(seconds: float, rate: int) -> np.ndarray:
    """Syllables of a gliding harmonic tone in a little noise; float32, shape (samples,), peak 0.5."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(150 + 60 * np.sin(2 * np.pi * 0.9 * time)) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 14))
    signal = tone * np.clip(np.sin(2 * np.pi * 2.3 * time), 0, None)
    signal += 0.02 * np.random.default_rng(3).standard_normal(len(time))
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def write_media(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str,
    *,
    container: str | None = None,
    video: bool = False,
    options: dict[str, str] | None = None,
    muxer_options: dict[str, str] | None = None,
) -> Path:
    """Write float32 ``samples``, (samples,) or (samples, channels), with PyAV alone; ``options`` are the encoder's."""
    table = samples.reshape(len(samples), -1)
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[table.shape[1]]
    with av.open(path, "w", format=container, container_options=muxer_options or {}) as output:
        pictures = output.add_stream("mpeg4", rate=10) if video else None
        stream = output.add_stream(codec, rate=rate, options=options, layout=layout)
        if "amr" in codec:
            stream.bit_rate = 12_200
        if pictures is not None:
            pictures.width, pictures.height = 32, 32
            for number in range(round(len(table) / rate * 10)):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts = number
                output.mux(pictures.encode(frame))
            output.mux(pictures.encode(None))
        for start in range(0, len(table), 4096):
            block = table[start : start + 4096].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def write_film(
    path: Path,
    samples: np.ndarray,
    rate: int,
    *,
    codecs: tuple[str, str] = ("libx264", "aac"),
    pictures: int = 40,
    audio_at: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """A film of 10 pictures a second, each of its own grey, whose sound starts ``audio_at`` seconds after them.

    Less than 0: the pictures start later than the sound. ``codecs`` are the encoders of video and audio; ``options``
    are those of the video's.
    """
    with av.open(path, "w") as output:
        video = output.add_stream(codecs[0], rate=10, options=options or {})
        video.width, video.height = 64, 48
        audio = output.add_stream(codecs[1], rate=rate, layout="mono")
        start, late = round(max(0.0, audio_at) * rate), round(max(0.0, -audio_at) * 10)
        packets = []
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + 5 * number % 200, np.uint8), format="rgb24")
            frame.pts, frame.time_base = late + number, Fraction(1, 10)
            packets += video.encode(frame.reformat(format="yuv420p"))
        packets += video.encode(None)
        for begin in range(0, len(samples), 4096):
            sound = av.AudioFrame.from_ndarray(samples[None, begin : begin + 4096], format="flt", layout="mono")
            sound.rate, sound.pts, sound.time_base = rate, start + begin, Fraction(1, rate)
            packets += audio.encode(sound)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


def read_media(path: Path) -> tuple[np.ndarray, int]:
    """All samples by our decoder, float32 of shape (samples, channels), and their rate."""
    with path.open("rb") as file, open_input(file) as source:
        return np.concatenate(list(source)), source.rate


def lag(later: np.ndarray, reference: np.ndarray) -> int:
    """By how many samples ``later`` comes after ``reference``, by the peak of their cross-correlation."""
    size = len(later) + len(reference)
    spectrum = np.fft.rfft(later, size) * np.fft.rfft(reference, size).conj()
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < len(later) else peak - size


# The first two of the four phases of the interpolating filter in ITU-R BS.1770-5, annex 2; the others mirror them.
_PHASES = np.array(
    (
        (0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000, -0.0594482421875, 0.1373291015625),
        (0.9721679687500, -0.1022949218750, 0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500),
        (-0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250, -0.1665039062500, 0.4650878906250),
        (0.7797851562500, -0.2003173828125, 0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375),
    )
).reshape(2, 12)


def true_peak(samples: np.ndarray) -> float:
    """The true peak of ``samples``, (samples,), as ITU-R BS.1770-5 measures it; dBTP."""
    phases = [np.convolve(samples, taps) for phase in _PHASES for taps in (phase, phase[::-1])]
    return float(20 * np.log10(max(np.abs(phase).max() for phase in (samples, *phases)) + 1e-30))


def error_db(wanted: np.ndarray, got: np.ndarray) -> float:
    """Energy of the difference relative to ``wanted``, dB; both of the same length."""
    difference = np.sum((wanted.astype(np.float64) - got) ** 2)
    return float(10 * np.log10(difference / np.sum(wanted.astype(np.float64) ** 2) + 1e-30))
