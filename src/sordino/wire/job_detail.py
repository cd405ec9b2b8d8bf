"""One JobsDetail: what replies and callbacks tell of a job."""

from collections.abc import Mapping
from datetime import tzinfo
from types import MappingProxyType

from sordino.domain.job import (
    QUEUE_TYPE,
    TAG,
    Dnsmos,
    Job,
    JobState,
    MediaInfo,
    Operation,
    Output,
    SoundQuality,
)
from sordino.wire import xml
from sordino.wire.order import order_nodes
from sordino.wire.times import CI_ZONE, ci_time

LAYOUTS: Mapping[int, str] = MappingProxyType({1: "mono", 2: "stereo"})
"""FFmpeg's names of the layouts that so many channels are always written in; more can be placed in several ways."""
PCM_BITS: Mapping[str, int] = MappingProxyType({"pcm_s16le": 16})


def job_nodes(job: Job, zone: tzinfo = CI_ZONE) -> list[xml.Node]:
    """The children of JobsDetail.

    What the request left out is left out here, and the rate is spelled as it was asked. A job of a template names it
    in place of its values.

    Args:
        job: what to tell of.
        zone: of the times shown.
    """
    return [
        ("Code", job.code),
        ("Message", job.message),
        ("JobId", job.job_id),
        ("State", job.state),
        ("CreationTime", ci_time(job.created_at, zone)),
        ("StartTime", ci_time(job.started_at, zone)),
        ("EndTime", ci_time(job.ended_at, zone)),
        *_progress(job),
        ("QueueId", job.queue_id),
        ("QueueType", QUEUE_TYPE),
        ("Tag", TAG),
        ("Input", [("BucketId", job.bucket), ("Object", job.input_object), ("Region", job.region)]),
        ("Operation", _operation(job.operation, job.media_info)),
    ]


def _progress(job: Job) -> list[xml.Node]:
    """Whole percents, shown from the first step on."""
    match job.state:
        case JobState.RUNNING:
            return [("Progress", job.progress)]
        case JobState.SUCCESS:
            return [("Progress", 100)]
    return []


def _operation(operation: Operation, info: MediaInfo | None) -> list[xml.Node]:
    children: list[xml.Node] = [
        *_order(operation),
        ("Output", _output(operation.output)),
    ]
    if info is not None:
        children.append(("MediaInfo", _media_info(info)))
        children += _media_result(operation.output, info)
    if operation.user_data is not None:
        children.append(("UserData", operation.user_data))
    if operation.job_level is not None:
        children.append(("JobLevel", operation.job_level))
    return children


def _order(operation: Operation) -> list[xml.Node]:
    template = operation.template
    if template is None:
        return [("NoiseReduction", order_nodes(operation.noise_reduction))]
    return [("TemplateId", template.template_id), ("TemplateName", template.name)]


def _output(output: Output) -> list[xml.Node]:
    return [("Region", output.region), ("Bucket", output.bucket), ("Object", output.object)]


def _media_info(info: MediaInfo) -> list[xml.Node]:
    """The members of the media jobs' MediaInfo that are known of the written file; seconds, and kbit/s as CI has it."""
    duration = f"{info.duration:.6f}"
    audio: dict[str, xml.Content | None] = {
        "Index": 0,
        "CodecName": info.codec_name,
        "SampleRate": info.sample_rate,
        "Channel": info.channels,
        "ChannelLayout": LAYOUTS.get(info.channels),
        "Duration": duration,
        "Bitrate": _pcm_bitrate(info),
    }
    container: list[xml.Node] = [
        ("NumStream", 2 if info.video else 1),
        ("NumProgram", 0),
        ("FormatName", info.format_name),
        ("Duration", duration),
        ("Bitrate", f"{info.bitrate / 1000:.6f}"),
        ("Size", info.size),
    ]
    return [("Format", container), ("Stream", [("Audio", xml.known(audio))])]


def _pcm_bitrate(info: MediaInfo) -> str | None:
    """Of the samples alone; of other codecs only the file's is known."""
    bits = PCM_BITS.get(info.codec_name)
    return None if bits is None else f"{info.sample_rate * info.channels * bits / 1000:.6f}"


def _media_result(output: Output, info: MediaInfo) -> list[xml.Node]:
    """The media jobs' MediaResult, and in it our Quality, which clients that do not know it skip."""
    if info.md5 is None:
        return []
    checksum = [("ObjectName", output.object), ("Md5", info.md5)]
    place: list[xml.Node] = [
        ("Bucket", output.bucket),
        ("Region", output.region),
        ("ObjectName", output.object),
        ("Md5Info", checksum),
    ]
    sides = {"Before": _quality(info.before), "After": _quality(info.after)}
    measured: list[xml.Node] = [("Quality", xml.known(sides))] if any(sides.values()) else []
    return [("MediaResult", [("OutputFile", place), *measured])]


def _quality(sound: SoundQuality | None) -> list[xml.Node] | None:
    """What was measured, in dBFS, dB, LUFS, and as a share of 1."""
    if sound is None:
        return None
    return xml.known(
        {
            "NoiseFloor": _decibels(sound.noise_floor),
            "Snr": _decibels(sound.snr),
            "Loudness": _decibels(sound.loudness),
            "Clipped": f"{sound.clipped:.6f}",
            "Dnsmos": _dnsmos(sound.dnsmos),
        }
    )


def _decibels(level: float | None) -> str | None:
    return None if level is None else f"{level:z.2f}"


def _dnsmos(scores: Dnsmos | None) -> list[xml.Node] | None:
    if scores is None:
        return None
    named = {"Signal": scores.signal, "Background": scores.background, "Overall": scores.overall}
    return [(name, f"{score:.2f}") for name, score in named.items()]
