from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from qcloud_cos.cos_comm import format_dict, xml_to_dict

from sordino.domain.job import (
    AudioFormat,
    Channels,
    Dnsmos,
    Job,
    JobCursor,
    JobListing,
    JobState,
    MediaInfo,
    NoiseReduction,
    Operation,
    Output,
    RateSpelling,
    SoundQuality,
    TemplateRef,
    loudness,
)
from sordino.wire.job_replies import render_job_list, render_jobs
from sordino.wire.job_token import read_token

CREATED = datetime(2026, 1, 5, 2, 0, 0, 999_000, tzinfo=UTC)
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


def details(*jobs, **settings):
    """The JobsDetail list as callers of the Python SDK get it."""
    data = xml_to_dict(render_jobs(jobs, **settings))
    format_dict(data, ["JobsDetail"])
    return data["JobsDetail"]


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
            "NumProgram": "0",
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
                "ChannelLayout": "mono",
                "Duration": "1.500000",
                "Bitrate": "256.000000",
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
        "<MediaInfo><Format><NumStream>2</NumStream><NumProgram>0</NumProgram><FormatName>mov,mp4,m4a,3gp,3g2,mj2</FormatName>"
        "<Duration>2.000000</Duration><Bitrate>2000.004000</Bitrate><Size>500001</Size></Format>"
        "<Stream><Audio><Index>0</Index><CodecName>aac</CodecName><SampleRate>48000</SampleRate><Channel>2</Channel>"
        "<ChannelLayout>stereo</ChannelLayout><Duration>2.000000</Duration></Audio></Stream></MediaInfo>"
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


def test_layouts_that_are_not_known():
    """More than two channels can be placed in several ways: no layout is told."""
    assert "ChannelLayout" not in operation_of(info=replace(WRITTEN, channels=6))


def test_a_job_of_a_template():
    """A job names its template, as it was called at its submission, in place of the template's values."""
    reference = TemplateRef(template_id="t1abc", name="会议_8k")
    found = details(replace(JOB, operation=replace(JOB.operation, template=reference)))[0]["Operation"]
    assert list(found) == ["TemplateId", "TemplateName", "Output", "UserData", "JobLevel"]
    assert (found["TemplateId"], found["TemplateName"]) == ("t1abc", "会议_8k")


@pytest.mark.parametrize("count", [1, 2])
def test_the_last_page_of_a_list(count):
    """The last page has its jobs, one or several, and no token."""
    data = xml_to_dict(render_job_list(JobListing(jobs=(JOB,) * count, next=None), "r1"))
    format_dict(data, ["JobsDetail"])
    assert (len(data["JobsDetail"]), "NextToken" in data) == (count, False)


def test_an_empty_list():
    """A list without jobs has neither jobs nor a token, but is a dictionary to the Python SDK."""
    assert xml_to_dict(render_job_list(JobListing(jobs=(), next=None), "r1")) == {"RequestId": "r1"}


def test_a_page_that_more_follow():
    """The token of a page stands for the place after it."""
    place = JobCursor(created_at=CREATED, job_id=JOB.job_id)
    data = xml_to_dict(render_job_list(JobListing(jobs=(JOB,), next=place), "r1"))
    assert read_token(data["NextToken"]) == place
