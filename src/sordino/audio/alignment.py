"""Where the sound of a compressed stream begins: how many samples its decoder gives before the first real one.

Containers that tell (the LAME tag of MP3, the edit list of MP4, the pre-skip of Opus, ...) are believed, and FFmpeg
drops what they tell of. For the streams that say nothing this module knows the delay of the codec.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from av.audio.stream import AudioStream
from av.codec.context import Flags2

if TYPE_CHECKING:
    from av.packet import Packet

SKIP: Final = "skip_samples"
SKIP_LAYOUT = "<IIBB"
"""FFmpeg's AV_PKT_DATA_SKIP_SAMPLES: samples to drop at the start and at the end, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """What a codec gives before the first real sample when nothing in the file tells of it.

    Attributes:
        samples: at the decoder's rate, for each sample rate where the key ``0`` stands for any; None: its first frame.
        source: where the number is from.
    """

    samples: Mapping[int, int] | None
    source: str

    def at(self, rate: int) -> int | None:
        """Samples at ``rate`` Hz; None: the first frame, however long."""
        return None if self.samples is None else self.samples.get(rate, self.samples.get(0, 0))


_AAC = Delay(
    samples=None,
    source="ISO/IEC 14496-3, 4.6.11: windows overlap by half, so that the first frame lacks its other half; every "
    "encoder puts a frame of silence there (some two, which none of these streams tells)",
)
_LAYER_2 = Delay(
    samples={0: 481},
    source="ISO/IEC 11172-3, annex C: analysis and synthesis through 32 bands with windows of 512 taps, 512 - 31",
)
_AC3 = Delay(samples={0: 256}, source="ATSC A/52, 7.9: the first block of 256 has nothing to overlap with")
_AMR_NB = Delay(samples={0: 40}, source="3GPP TS 26.090, 5.2: the encoder's look-ahead of 5 ms")

DELAYS: Mapping[str, Delay] = MappingProxyType(
    {
        "aac": _AAC,
        "aac_latm": _AAC,
        "ac3": _AC3,
        "eac3": _AC3,
        "amr_nb": _AMR_NB,
        "amr_wb": Delay(
            samples={0: 95},
            source="3GPP TS 26.190, 5.2: the look-ahead of 5 ms, 80, and 15 of the resampling filters, measured",
        ),
        "dts": Delay(
            samples={0: 512}, source="ETSI TS 102 114, annex C: the filter bank of 512 taps; as FFmpeg's encoder"
        ),
        "mp1": _LAYER_2,
        "mp2": _LAYER_2,
        "mp3": Delay(
            samples={0: 1105},
            source="LAME, libmp3lame/encoder.h: ENCDELAY 576, with the decoder's 528 + 1 (ISO/IEC 11172-3)",
        ),
        "nellymoser": Delay(
            samples={0: 128},
            source="measured with FFmpeg's encoder: the first block of 128 has nothing to overlap with",
        ),
        "opus": Delay(
            samples={0: 312}, source="libopus, OPUS_GET_LOOKAHEAD: 6.5 ms at 48 kHz, the pre-skip of its Ogg files"
        ),
        "ra_144": Delay(samples={0: 160}, source="measured with FFmpeg's encoder: one frame of 20 ms"),
        "speex": Delay(
            samples={8000: 80, 16000: 223, 32000: 509},
            source="libspeex, SPEEX_GET_LOOKAHEAD: encoder and decoder 40 each, doubled with the rate, and 63 of the "
            "filters that split the band",
        ),
    }
)
"""By FFmpeg's name of the codec."""

_WMA_FLAGS = {"wmav1": 2, "wmav2": 4}
"""Where the encoder's flags stand in the codec's private data, bytes."""

_LAYERS = {1: "mp3", 2: "mp2", 3: "mp1"}
"""By the bits of the frame's header (ISO/IEC 11172-3, 2.4.2.3); MPEG-TS does not tell the layers apart."""

_STATED_ALWAYS = {"opus": ("ogg", "mov,mp4,m4a,3gp,3g2,mj2")}
"""Containers in which a delay of 0 is one that was told."""

_TOLD_FOR_AMR = 50
"""What FFmpeg writes into the edit list of its AMR-NB, 10 samples more than the encoder's look-ahead."""


def untold_delay(stream: AudioStream, first: "Packet[AudioStream]") -> int | None:
    """Samples that the decoder of ``stream`` will give too much at its start, and that are to be dropped by the caller.

    What the container tells is dropped by the decoder and does not count; where that is known to be wrong, the decoder
    is told to leave it.

    Args:
        stream: its decoder must not have decoded yet.
        first: its first packet.

    Returns:
        The number of samples; None: all of the first frame.
    """
    codec, told = _codec(stream, first), _told(first)
    if _is_ffmpegs_wma(codec, stream.codec_context.extradata or b""):
        # FFmpeg's decoder drops two frames, as Microsoft's encoders need; its own encoder puts one there.
        _leave_to_us(stream)
        return None
    if codec == "amr_nb" and told == _TOLD_FOR_AMR:
        _leave_to_us(stream)
    elif told or codec not in DELAYS or stream.container.format.name in _STATED_ALWAYS.get(codec, ()):
        return 0
    return DELAYS[codec].at(stream.rate)


def _codec(stream: AudioStream, first: "Packet[AudioStream]") -> str:
    codec: str = stream.codec.canonical_name
    header = bytes(first)[:2] if codec in _LAYERS.values() else b""
    if len(header) == 2 and header[0] == 0xFF and header[1] >> 5 == 0b111:
        return _LAYERS.get(header[1] >> 1 & 0b11, codec)
    return codec


def _told(packet: "Packet[AudioStream]") -> int:
    if not packet.has_sidedata(SKIP):
        return 0
    start: int = struct.unpack(SKIP_LAYOUT, bytes(packet.get_sidedata(SKIP)))[0]
    return start


def _is_ffmpegs_wma(codec: str, private: bytes) -> bool:
    """Whether FFmpeg encoded this WMA: without bit reservoir (2) and variable blocks (4), unlike all others."""
    place = _WMA_FLAGS.get(codec)
    return place is not None and len(private) > place and not private[place] & 6


def _leave_to_us(stream: AudioStream) -> None:
    stream.codec_context.flags2 |= Flags2.skip_manual
