"""How FFmpeg writes each format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import av

from sordino.audio.order import MediaFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatDetails:
    """How FFmpeg writes a format.

    Attributes:
        muxer: FFmpeg's name of the container to write.
        codec_name: FFmpeg's name of the codec.
        format_name: FFmpeg's name of the container when it is read.
        encoder: FFmpeg's name of the encoder.
        sample_format: FFmpeg's name of the samples the encoder takes.
        options: options of the muxer.
        bit_rates: bit/s for each channel by sample rate; empty where the format has none.
        most_bits: most bit/s of all channels together by sample rate.
    """

    muxer: str
    codec_name: str
    format_name: str
    encoder: str
    sample_format: str
    options: Mapping[str, str]
    bit_rates: Mapping[int, int] = field(default_factory=dict)
    most_bits: Mapping[int, int] = field(default_factory=dict)

    def bit_rate(self, rate: int, channels: int) -> int | None:
        """Bit/s for so many channels at ``rate`` Hz; None where the format has no choice."""
        if not self.bit_rates:
            return None
        wanted = self.bit_rates[rate] * channels
        return min(wanted, self.most_bits.get(rate, wanted))


# Transparent for speech and about what the formats' own tools choose.
_BIT_RATES = MappingProxyType(
    {8000: 32_000, 12000: 48_000, 16000: 64_000, 24000: 80_000, 32000: 96_000, 44100: 128_000, 48000: 128_000}
)
_OPUS_BIT_RATES = MappingProxyType({8000: 24_000, 12000: 32_000, 16000: 40_000, 24000: 56_000, 48000: 80_000})
# LAME's ceiling for MPEG-2.5, and that of MPEG-2 (ISO/IEC 13818-3, 2.4.2.3); MPEG-1's is out of reach.
_MP3_MOST_BITS = MappingProxyType({8000: 64_000, 12000: 64_000, 16000: 160_000, 24000: 160_000})

DETAILS: Mapping[MediaFormat, FormatDetails] = MappingProxyType(
    {
        # bitexact leaves the header of one or two channels at its 44 bytes, which is all that simple readers skip.
        MediaFormat.WAV: FormatDetails(
            muxer="wav",
            codec_name="pcm_s16le",
            format_name="wav",
            encoder="pcm_s16le",
            sample_format="s16",
            options={"fflags": "+bitexact"},
        ),
        MediaFormat.MP3: FormatDetails(
            muxer="mp3",
            codec_name="mp3",
            format_name="mp3",
            encoder="libmp3lame",
            sample_format="fltp",
            options={},
            bit_rates=_BIT_RATES,
            most_bits=_MP3_MOST_BITS,
        ),
        MediaFormat.M4A: FormatDetails(
            muxer="ipod",
            codec_name="aac",
            format_name="mov,mp4,m4a,3gp,3g2,mj2",
            encoder="aac",
            sample_format="fltp",
            options={"movflags": "+faststart"},
            bit_rates=_BIT_RATES,
        ),
        MediaFormat.FLAC: FormatDetails(
            muxer="flac", codec_name="flac", format_name="flac", encoder="flac", sample_format="s16", options={}
        ),
        MediaFormat.OPUS: FormatDetails(
            muxer="opus",
            codec_name="opus",
            format_name="ogg",
            encoder="libopus",
            sample_format="flt",
            options={},
            bit_rates=_OPUS_BIT_RATES,
        ),
    }
)

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_AAC_LAYOUTS = frozenset({"3.0", "4.0", "quad", "5.0", "5.1", "hexagonal", "6.1", "7.0", "7.1", "octagonal"})
"""Those whose channels FFmpeg's encoder knows to place, but the side variants, which come back without places."""

# Channels of no known place must not end in one for low frequencies, of which AAC keeps nothing else.
_AAC_UNPLACED = _LAYOUTS | {6: "hexagonal", 7: "7.0", 8: "octagonal"}


# FFmpeg's encoder brings these into another order: it reads its table of places the wrong way round, which makes a
# difference only here.
_OPUS_DISORDERED = (5, 7)


def holds(form: MediaFormat, channels: int) -> bool:
    """Whether the format can be written with so many channels."""
    return channels <= form.max_channels and not (form is MediaFormat.OPUS and channels in _OPUS_DISORDERED)


def channel_layout(form: MediaFormat, channels: int, wanted: str | None) -> str:
    """FFmpeg's name of the layout that so many channels are written in.

    Args:
        form: the format.
        channels: how many.
        wanted: the layout that they have; None, or one of another number of channels: unknown.
    """
    placed = wanted if channels > 2 and wanted is not None and _is_placed(wanted, channels) else None
    if form is MediaFormat.M4A:
        if placed in _AAC_LAYOUTS:
            return str(placed)
        return (_LAYOUTS if placed else _AAC_UNPLACED)[channels]
    if placed is not None and form is not MediaFormat.OPUS:
        return placed
    return f"{channels} channels" if form is MediaFormat.WAV and channels > 2 else _LAYOUTS[channels]


def _is_placed(layout: str, channels: int) -> bool:
    """Whether the layout says where each of so many channels belongs."""
    try:
        parsed = av.AudioLayout(layout)
    except ValueError:
        return False
    return parsed.nb_channels == channels and not layout.endswith(" channels") and "ambisonic" not in layout
