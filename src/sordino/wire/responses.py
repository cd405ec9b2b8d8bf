"""Domain values to reply bodies and to the times that bodies and headers carry."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import format_datetime
from urllib.parse import quote

from sordino.domain.bucket import Bucket, Listing, StoredObject
from sordino.domain.identity import Account
from sordino.domain.job import (
    KEEP,
    QUEUE_TYPE,
    TAG,
    Dnsmos,
    Job,
    JobState,
    MediaInfo,
    NoiseReduction,
    Operation,
    Output,
    SoundQuality,
)
from sordino.errors import ServiceError
from sordino.wire import xml
from sordino.wire.address import Service

CI_ZONE = timezone(timedelta(hours=8))
"""The zone of CI's times; the vendor's samples all show it."""


def render_jobs(jobs: Sequence[Job], non_existing: Sequence[str] = (), *, zone: tzinfo = CI_ZONE) -> bytes:
    """The reply of submitting and of querying jobs: one JobsDetail a job, one NonExistJobIds an unknown id.

    What the request left out is left out here, and the rate is spelled as it was asked.

    Args:
        jobs: in the order to show.
        non_existing: ids that were asked for and do not exist.
        zone: of the times shown.
    """
    details: list[xml.Node] = [("JobsDetail", _job(job, zone)) for job in jobs]
    return xml.document("Response", [*details, *(("NonExistJobIds", job_id) for job_id in non_existing)])


def render_error(service: Service, error: ServiceError, resource: str, request_id: str, trace_id: str) -> bytes:
    """The body of a refusal. No element is empty: the Python SDK then reports the code "Unknown".

    Args:
        service: decides the order of the elements: CI documents no Resource, so it follows the others there.
        error: what to tell.
        resource: what was asked for, e.g. the path.
        request_id: as in the reply's ``x-c*-request-id``.
        trace_id: as in its ``x-c*-trace-id``.
    """
    head = [("Code", error.code), ("Message", error.message)]
    ids = [("RequestId", request_id), ("TraceId", trace_id)]
    place = [("Resource", resource)]
    elements = [*head, *ids, *place] if service is Service.CI else [*head, *place, *ids]
    return xml.document("Error", [(name, text or "-") for name, text in elements])


def render_object_list(
    listing: Listing,
    *,
    bucket: str,
    prefix: str,
    marker: str,
    delimiter: str,
    max_keys: int,
    url_encoded: bool,
    owner: Account,
) -> bytes:
    """The reply of GET Bucket (List Objects).

    Args:
        listing: the page.
        bucket: whose objects are listed.
        prefix: as asked; empty for none.
        marker: as asked; empty for none.
        delimiter: as asked; empty for none.
        max_keys: as asked or defaulted.
        url_encoded: whether ``encoding-type=url`` was asked: keys and prefixes are then percent-encoded, which is
            the only way to show characters that XML cannot carry.
        owner: whose bucket it is; shown by its APPID.
    """
    text = _url_encode if url_encoded else str
    asked: list[xml.Node] = [
        ("Name", bucket),
        ("Prefix", text(prefix)),
        ("Marker", text(marker)),
        ("MaxKeys", max_keys),
        *([("EncodingType", "url")] if url_encoded else []),
        *([("Delimiter", text(delimiter))] if delimiter else []),
    ]
    objects = [("Contents", _contents(stored, text(stored.key), owner.appid)) for stored in listing.objects]
    prefixes = [("CommonPrefixes", [("Prefix", text(folded))]) for folded in listing.prefixes]
    if listing.next_marker is None:
        page: list[xml.Node] = [("IsTruncated", "false")]
    else:
        page = [("IsTruncated", "true"), ("NextMarker", text(listing.next_marker))]
    return xml.document("ListBucketResult", [*asked, *page, *objects, *prefixes])


def render_bucket_list(
    buckets: Sequence[Bucket], *, owner: Account, marker: str = "", next_marker: str | None = None
) -> bytes:
    """The reply of GET Service (List Buckets); ``Buckets`` is there even when empty, the Python SDK needs it.

    Args:
        buckets: in the order to show.
        owner: whose buckets they are.
        marker: as asked; empty for none.
        next_marker: the last name of a page that more buckets follow, else None.
    """
    identity = [("ID", f"qcs::cam::uin/{owner.uin}:uin/{owner.uin}"), ("DisplayName", owner.uin)]
    rows = [
        ("Bucket", [("Name", bucket.name), ("Location", bucket.region), ("CreationDate", iso_time(bucket.created_at))])
        for bucket in buckets
    ]
    page: list[xml.Node] = [("Marker", marker), ("IsTruncated", "false" if next_marker is None else "true")]
    if next_marker is not None:
        page.append(("NextMarker", next_marker))
    return xml.document("ListAllMyBucketsResult", [("Owner", identity), ("Buckets", rows), *page])


def ci_time(at: datetime | None, zone: tzinfo = CI_ZONE) -> str:
    """CI's form, ``2026-01-05T10:00:00+0800``; ``-`` for what has not happened yet."""
    return "-" if at is None else at.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S%z")


def iso_time(at: datetime) -> str:
    """COS's form, ``2020-12-10T03:37:30.000Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(at: datetime) -> str:
    """The form of Date and Last-Modified headers, ``Thu, 10 Dec 2020 03:37:30 GMT``."""
    return format_datetime(at.astimezone(UTC), usegmt=True)


def _job(job: Job, zone: tzinfo) -> list[xml.Node]:
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
        ("NoiseReduction", _noise_reduction(operation.noise_reduction)),
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


def _noise_reduction(order: NoiseReduction) -> list[xml.Node]:
    extensions: Mapping[str, str | int | None] = {
        "Model": order.model,
        "Strength": order.strength,
        "Channels": order.channels,
        "Loudness": None if order.loudness is None else str(order.loudness),
        "Video": KEEP if order.video else None,
    }
    return [("Format", order.format), (order.spelling, order.sample_rate), *_known(extensions)]


def _known(children: "Mapping[str, xml.Content | None]") -> list[xml.Node]:
    """The children that have a value."""
    return [(name, content) for name, content in children.items() if content is not None]


def _output(output: Output) -> list[xml.Node]:
    return [("Region", output.region), ("Bucket", output.bucket), ("Object", output.object)]


def _media_info(info: MediaInfo) -> list[xml.Node]:
    """The members of the media jobs' MediaInfo that are known of the written file; seconds, and kbit/s as CI has it."""
    duration = f"{info.duration:.6f}"
    audio: list[xml.Node] = [
        ("Index", 0),
        ("CodecName", info.codec_name),
        ("SampleRate", info.sample_rate),
        ("Channel", info.channels),
        ("Duration", duration),
    ]
    container: list[xml.Node] = [
        ("NumStream", 2 if info.video else 1),
        ("FormatName", info.format_name),
        ("Duration", duration),
        ("Bitrate", f"{info.bitrate / 1000:.6f}"),
        ("Size", info.size),
    ]
    return [("Format", container), ("Stream", [("Audio", audio)])]


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
    measured: list[xml.Node] = [("Quality", _known(sides))] if any(sides.values()) else []
    return [("MediaResult", [("OutputFile", place), *measured])]


def _quality(sound: SoundQuality | None) -> list[xml.Node] | None:
    """What was measured, in dBFS, dB, LUFS, and as a share of 1."""
    if sound is None:
        return None
    return _known(
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


def _contents(stored: StoredObject, key: str, owner: str) -> list[xml.Node]:
    return [
        ("Key", key),
        ("LastModified", iso_time(stored.last_modified)),
        ("ETag", f'"{stored.etag}"'),
        ("Size", stored.size),
        ("Owner", [("ID", owner), ("DisplayName", owner)]),
        ("StorageClass", stored.storage_class),
    ]


def _url_encode(text: str) -> str:
    """Percent-encode all but ``/``, which every client shows and decodes alike."""
    return quote(text, safe="/")
