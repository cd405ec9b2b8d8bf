from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos.cos_comm import decode_result, format_dict, xml_to_dict
from qcloud_cos.cos_exception import digest_xml

from sordino import errors
from sordino.domain.bucket import Bucket, Listing, StoredObject
from sordino.domain.identity import Account
from sordino.domain.job import (
    AudioFormat,
    Channels,
    Dnsmos,
    Job,
    JobState,
    MediaInfo,
    NoiseReduction,
    Operation,
    Output,
    RateSpelling,
    SoundQuality,
    loudness,
)
from sordino.wire.address import Service
from sordino.wire.responses import (
    ci_time,
    http_date,
    iso_time,
    render_bucket_list,
    render_error,
    render_jobs,
    render_object_list,
)

CREATED = datetime(2026, 1, 5, 2, 0, 0, 999_000, tzinfo=UTC)
OWNER = Account(appid="1250000000", uin="100000000001")
JOB = Job(
    job_id="j3c9a1f5e8b7211ee9d2a0242ac120002",
    bucket="test-1250000000",
    region="ap-chongqing",
    queue_id="p7d1f0c52b9e44a4c8f0d6a1e5b3c2d10",
    input_object="input/demo.mp3",
    operation=Operation(
        noise_reduction=NoiseReduction(),
        output=Output(region="ap-chongqing", bucket="test-1250000000", object="output/out.wav"),
        user_data="ticket-42",
        job_level=0,
    ),
    created_at=CREATED,
)
STORED = StoredObject(
    bucket="test-1250000000",
    key="in/a b+中&.wav",
    size=5,
    etag="5d41402abc4b2a76b9719d911017c592",
    crc64=1,
    blob_id="b",
    last_modified=CREATED,
)


def details(*jobs, **settings):
    """The JobsDetail list as callers of the Python SDK get it."""
    data = xml_to_dict(render_jobs(jobs, **settings))
    format_dict(data, ["JobsDetail"])
    return data["JobsDetail"]


def listing(*objects, prefixes=(), next_marker=None, **asked):
    """A page of a listing as callers of the Python SDK get it."""
    settings = {"prefix": "", "marker": "", "delimiter": "", "max_keys": 1000, "url_encoded": True} | asked
    page = Listing(objects=objects, prefixes=prefixes, next_marker=next_marker)
    data = xml_to_dict(render_object_list(page, bucket="test-1250000000", owner=OWNER, **settings))
    format_dict(data, ["Contents", "CommonPrefixes"])
    if settings["url_encoded"]:
        decode_result(data, ["Prefix", "Marker", "NextMarker"], [["Contents", "Key"], ["CommonPrefixes", "Prefix"]])
    return data


def test_a_submitted_job_to_the_letter():
    """The reply of a submission is the protocol's sample."""
    assert render_jobs([JOB]).decode() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        "<Response><JobsDetail>"
        "<Code>Success</Code><Message/>"
        "<JobId>j3c9a1f5e8b7211ee9d2a0242ac120002</JobId>"
        "<State>Submitted</State>"
        "<CreationTime>2026-01-05T10:00:00+0800</CreationTime><StartTime>-</StartTime><EndTime>-</EndTime>"
        "<QueueId>p7d1f0c52b9e44a4c8f0d6a1e5b3c2d10</QueueId><QueueType>Speeching</QueueType>"
        "<Tag>NoiseReduction</Tag>"
        "<Input><BucketId>test-1250000000</BucketId><Object>input/demo.mp3</Object><Region>ap-chongqing</Region></Input>"
        "<Operation>"
        "<NoiseReduction><Format>wav</Format><SampleRate>16000</SampleRate></NoiseReduction>"
        "<Output><Region>ap-chongqing</Region><Bucket>test-1250000000</Bucket><Object>output/out.wav</Object></Output>"
        "<UserData>ticket-42</UserData><JobLevel>0</JobLevel>"
        "</Operation>"
        "</JobsDetail></Response>"
    )


def test_jobs_as_the_python_sdk_reads_them():
    """One job becomes a list of one, several a list of several, in the order given."""
    assert [job["JobId"] for job in details(JOB)] == [JOB.job_id]
    assert [job["JobId"] for job in details(replace(JOB, job_id="jb"), replace(JOB, job_id="ja"))] == ["jb", "ja"]


def test_only_what_was_sent_is_echoed():
    """UserData and JobLevel are left out when the request left them out."""
    bare = replace(JOB, operation=replace(JOB.operation, user_data=None, job_level=None))
    assert details(bare)[0]["Operation"].keys() == {"NoiseReduction", "Output"}


def test_the_spelling_of_the_rate_is_echoed():
    """A job asked for with Samplerate, which Go only understands, is answered with it."""
    order = NoiseReduction(sample_rate=8000, spelling=RateSpelling.TEMPLATE)
    found = details(replace(JOB, operation=replace(JOB.operation, noise_reduction=order)))
    assert found[0]["Operation"]["NoiseReduction"] == {"Format": "wav", "Samplerate": "8000"}


def test_a_job_on_its_way():
    """A running job shows when it began and how far it is."""
    running = replace(JOB, state=JobState.RUNNING, started_at=CREATED + timedelta(seconds=2), progress=30)
    found = details(running)[0]
    assert (found["State"], found["Progress"]) == ("Running", "30")
    assert (found["StartTime"], found["EndTime"]) == ("2026-01-05T10:00:02+0800", "-")


def test_a_finished_job():
    """A finished job shows its end, a note if there is one, and what was written."""
    info = MediaInfo(duration=1.5, sample_rate=16000, channels=1, size=48044, format_name="wav", codec_name="pcm_s16le")
    done = replace(JOB, state=JobState.SUCCESS, ended_at=CREATED, message="The input was truncated.", media_info=info)
    found = details(done)[0]
    assert (found["State"], found["Code"], found["Message"]) == ("Success", "Success", "The input was truncated.")
    assert (found["Progress"], found["EndTime"]) == ("100", "2026-01-05T10:00:00+0800")
    assert found["Operation"]["MediaInfo"] == {
        "Format": {
            "NumStream": "1",
            "FormatName": "wav",
            "Duration": "1.500000",
            "Bitrate": "256.234667",
            "Size": "48044",
        },
        "Stream": {
            "Audio": {
                "Index": "0",
                "CodecName": "pcm_s16le",
                "SampleRate": "16000",
                "Channel": "1",
                "Duration": "1.500000",
            }
        },
    }


EXTENDED = NoiseReduction(
    format=AudioFormat.M4A,
    sample_rate=48000,
    spelling=RateSpelling.TEMPLATE,
    model="best",
    strength=0,
    channels=Channels.KEEP,
    loudness=Decimal("-20.50"),
    video=True,
)
WRITTEN = MediaInfo(
    duration=2.0,
    sample_rate=48000,
    channels=2,
    size=500_001,
    format_name="mov,mp4,m4a,3gp,3g2,mj2",
    codec_name="aac",
    video=True,
    before=SoundQuality(noise_floor=-41.239, snr=18.504, loudness=-23.0, clipped=0.0001234),
    after=SoundQuality(
        noise_floor=-78.4,
        snr=-0.001,
        loudness=-20.5,
        clipped=0.0,
        dnsmos=Dnsmos(signal=3.456, background=4.0, overall=3.2),
    ),
    md5="5d41402abc4b2a76b9719d911017c592",
)


def operation_of(order=None, info=None):
    """The Operation of a finished job in the reply, to the letter, without Output and what follows it."""
    operation = replace(JOB.operation, noise_reduction=order or NoiseReduction(), user_data=None, job_level=None)
    written = render_jobs([replace(JOB, state=JobState.SUCCESS, operation=operation, media_info=info)]).decode()
    return written.partition("<Operation>")[2].partition("</Operation>")[0]


def test_extensions_are_echoed_to_the_letter():
    """Our elements come back as they were submitted, behind the protocol's."""
    assert operation_of(EXTENDED).startswith(
        "<NoiseReduction><Format>m4a</Format><Samplerate>48000</Samplerate><Model>best</Model><Strength>0</Strength>"
        "<Channels>keep</Channels><Loudness>-20.50</Loudness><Video>keep</Video></NoiseReduction><Output>"
    )


@pytest.mark.parametrize("word", ["-23", "-23.0", "-70", "keep"])
def test_loudness_keeps_its_digits(word):
    """The number comes back with the decimals it was sent with."""
    assert f"<Loudness>{word}</Loudness>" in operation_of(NoiseReduction(loudness=loudness(word)))


def test_what_was_written_to_the_letter():
    """A result shows its file's true values, where it is with its MD5, and what it measures before and after."""
    assert operation_of(EXTENDED, WRITTEN).partition("</Output>")[2] == (
        "<MediaInfo><Format><NumStream>2</NumStream><FormatName>mov,mp4,m4a,3gp,3g2,mj2</FormatName>"
        "<Duration>2.000000</Duration><Bitrate>2000.004000</Bitrate><Size>500001</Size></Format>"
        "<Stream><Audio><Index>0</Index><CodecName>aac</CodecName><SampleRate>48000</SampleRate><Channel>2</Channel>"
        "<Duration>2.000000</Duration></Audio></Stream></MediaInfo>"
        "<MediaResult><OutputFile><Bucket>test-1250000000</Bucket><Region>ap-chongqing</Region>"
        "<ObjectName>output/out.wav</ObjectName><Md5Info><ObjectName>output/out.wav</ObjectName>"
        "<Md5>5d41402abc4b2a76b9719d911017c592</Md5></Md5Info></OutputFile>"
        "<Quality><Before><NoiseFloor>-41.24</NoiseFloor><Snr>18.50</Snr><Loudness>-23.00</Loudness>"
        "<Clipped>0.000123</Clipped></Before>"
        "<After><NoiseFloor>-78.40</NoiseFloor><Snr>0.00</Snr><Loudness>-20.50</Loudness><Clipped>0.000000</Clipped>"
        "<Dnsmos><Signal>3.46</Signal><Background>4.00</Background><Overall>3.20</Overall></Dnsmos></After></Quality>"
        "</MediaResult>"
    )


def test_a_result_that_was_not_measured():
    """Without measurements there is no Quality, and a level that cannot be told is left out, never empty."""
    silence = SoundQuality(noise_floor=None, snr=None, loudness=None, clipped=0.0)
    assert "Quality" not in operation_of(info=replace(WRITTEN, before=None, after=None))
    shown = operation_of(info=replace(WRITTEN, before=silence, after=None))
    assert "<Quality><Before><Clipped>0.000000</Clipped></Before></Quality>" in shown


def test_a_result_of_an_earlier_version():
    """A job that ended before checksums were noted shows what it showed then."""
    assert "MediaResult" not in operation_of(info=replace(WRITTEN, md5=None))


def test_a_failed_job():
    """A failed job shows its code and message."""
    failed = replace(JOB, state=JobState.FAILED, code="ResourceNotFound", message="There is no input/demo.mp3.")
    found = details(failed)[0]
    assert (found["State"], found["Code"], found["Message"]) == (
        "Failed",
        "ResourceNotFound",
        "There is no input/demo.mp3.",
    )


@pytest.mark.parametrize(("missing", "shape"), [(["ja"], "ja"), (["ja", "jb"], ["ja", "jb"])])
def test_ids_that_do_not_exist(missing, shape):
    """Each unknown id has an element of its own, as Go's single and multiple queries both read it."""
    data = xml_to_dict(render_jobs([], missing))
    assert data == {"NonExistJobIds": shape}


def test_times_of_another_zone():
    """The zone of the times can be chosen."""
    assert (
        details(JOB, zone=timezone(timedelta(hours=-3, minutes=-30)))[0]["CreationTime"] == "2026-01-04T22:30:00-0330"
    )


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("kind", [errors.NO_SUCH_KEY, errors.INVALID_ARGUMENT, errors.REQUEST_HAS_EXPIRED])
def test_errors_as_the_python_sdk_reads_them(service, kind):
    """Code, message, resource and ids arrive, on either service."""
    body = render_error(service, kind(), "/in/a%20b", "cmVxdWVzdA==", "dHJhY2U=")
    assert digest_xml(body) == {
        "code": kind.code,
        "message": kind.message,
        "resource": "/in/a%20b",
        "requestid": "cmVxdWVzdA==",
        "traceid": "dHJhY2U=",
    }


def test_the_elements_of_an_error():
    """COS's order is the documented one; CI's documented elements come first, then Resource."""
    error = errors.ServiceError(400, "C", "M")
    tags = {service: render_error(service, error, "R", "I", "T").decode().partition("\n")[2] for service in Service}
    ids = "<RequestId>I</RequestId><TraceId>T</TraceId>"
    assert tags == {
        Service.COS: f"<Error><Code>C</Code><Message>M</Message><Resource>R</Resource>{ids}</Error>",
        Service.CI: f"<Error><Code>C</Code><Message>M</Message>{ids}<Resource>R</Resource></Error>",
    }


@given(st.lists(st.text(st.characters()), min_size=5, max_size=5))
def test_no_element_of_an_error_is_empty(texts):
    """Whatever the texts, the Python SDK finds a value in each element: it reports "Unknown" otherwise."""
    code, message, resource, request_id, trace_id = texts
    for service in Service:
        found = digest_xml(
            render_error(service, errors.ServiceError(400, code, message), resource, request_id, trace_id)
        )
        assert found.keys() == {"code", "message", "resource", "requestid", "traceid"}
        assert all(found.values())


def test_a_listing_as_the_python_sdk_reads_it():
    """Keys come back as stored, ETags quoted, sizes and times in COS's form."""
    data = listing(STORED, prefix="in/")
    assert data == {
        "Name": "test-1250000000",
        "Prefix": "in/",
        "Marker": None,
        "MaxKeys": "1000",
        "EncodingType": "url",
        "IsTruncated": "false",
        "Contents": [
            {
                "Key": "in/a b+中&.wav",
                "LastModified": "2026-01-05T02:00:00.999Z",
                "ETag": '"5d41402abc4b2a76b9719d911017c592"',
                "Size": "5",
                "Owner": {"ID": "1250000000", "DisplayName": "1250000000"},
                "StorageClass": "STANDARD",
            }
        ],
    }


def test_an_empty_listing():
    """A listing without objects and prefixes has neither, and ends."""
    data = listing(url_encoded=False)
    assert data.keys() == {"Name", "Prefix", "Marker", "MaxKeys", "IsTruncated"}
    assert data["IsTruncated"] == "false"


def test_a_truncated_listing_with_prefixes():
    """Folded prefixes are listed beside the objects, and the next page's marker is given."""
    data = listing(STORED, prefixes=("p 1/", "中/"), next_marker="中/", delimiter="/", marker="a b", max_keys=3)
    assert [entry["Prefix"] for entry in data["CommonPrefixes"]] == ["p 1/", "中/"]
    assert (data["IsTruncated"], data["NextMarker"], data["Marker"]) == ("true", "中/", "a b")
    assert (data["Delimiter"], data["MaxKeys"]) == ("/", "3")
    assert [entry["Prefix"] for entry in listing(prefixes=("p/",))["CommonPrefixes"]] == ["p/"]


keys = st.text(st.characters(codec="utf-8"), min_size=1)


@given(keys)
def test_any_key_survives_when_url_encoded(key):
    """With encoding-type=url every key, even of control characters, comes back as stored."""
    data = listing(replace(STORED, key=key), prefixes=(key,), next_marker=key, prefix=key, marker=key)
    assert data["Contents"][0]["Key"] == data["CommonPrefixes"][0]["Prefix"] == key
    assert data["NextMarker"] == data["Prefix"] == data["Marker"] == key


@given(keys)
def test_any_key_is_readable_when_not_url_encoded(key):
    """Without it the document stays well-formed; only characters XML cannot carry are replaced."""
    found = listing(replace(STORED, key=key), url_encoded=False)["Contents"][0]["Key"]
    assert len(found) == len(key)
    assert all(b in (a, "\ufffd") for a, b in zip(key, found, strict=True))


def test_url_encoding_as_other_sdks_decode_it():
    """Slashes stay as they are, and neither spaces nor pluses are ambiguous."""
    written = render_object_list(
        Listing(objects=(STORED,), prefixes=(), next_marker=None),
        bucket="test-1250000000",
        prefix="",
        marker="",
        delimiter="/",
        max_keys=1,
        url_encoded=True,
        owner=OWNER,
    ).decode()
    assert "<Key>in/a%20b%2B%E4%B8%AD%26.wav</Key>" in written
    assert "<Delimiter>/</Delimiter>" in written
    assert unquote("in/a%20b%2B%E4%B8%AD%26.wav") == STORED.key


@pytest.mark.parametrize("count", [0, 1, 2])
def test_buckets_as_the_python_sdk_reads_them(count):
    """The buckets have name, region and date; Buckets is there even without any."""
    buckets = [
        Bucket(name=f"b{number}-1250000000", region="ap-x", appid="1250000000", created_at=CREATED)
        for number in range(count)
    ]
    data = xml_to_dict(render_bucket_list(buckets, owner=OWNER))
    uin = OWNER.uin
    assert data["Owner"] == {"ID": f"qcs::cam::uin/{uin}:uin/{uin}", "DisplayName": uin}
    found = [] if data["Buckets"] is None else format_dict(data["Buckets"], ["Bucket"])["Bucket"]
    assert found == [
        {"Name": bucket.name, "Location": "ap-x", "CreationDate": "2026-01-05T02:00:00.999Z"} for bucket in buckets
    ]


def test_forms_of_times():
    """Each of the protocol's three forms, from any zone."""
    at = datetime(2020, 12, 10, 4, 37, 30, tzinfo=timezone(timedelta(hours=1)))
    assert ci_time(at) == "2020-12-10T11:37:30+0800"
    assert ci_time(None) == "-"
    assert iso_time(at) == "2020-12-10T03:37:30.000Z"
    assert http_date(at) == "Thu, 10 Dec 2020 03:37:30 GMT"
