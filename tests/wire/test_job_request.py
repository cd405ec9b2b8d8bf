from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos.cos_comm import format_xml

from sordino.domain.callback import QUEUE_DECIDES, JobCallback
from sordino.domain.job import (
    SAMPLE_RATES,
    AudioFormat,
    Channels,
    JobRequest,
    NoiseReduction,
    OperationRequest,
    Output,
    RateSpelling,
)
from sordino.errors import ServiceError
from sordino.wire import job_request
from sordino.wire.xml import document

parse_job = partial(job_request.parse_job, models=("best", "dfn3", "off"))

OUTPUT = Output(region="ap-chongqing", bucket="test-1250000000", object="output/out.wav")


def order(**operation):
    """A job's body as the nested mapping a user of the Python SDK writes, with other children of Operation."""
    return {
        "Tag": "NoiseReduction",
        "Input": {"Object": "input/demo.mp3"},
        "Operation": {
            "Output": {"Region": "ap-chongqing", "Bucket": "test-1250000000", "Object": "output/out.wav"},
            **operation,
        },
    }


def body(top=None, **operation):
    """The same as the Python SDK sends it, with other children of Request."""
    return format_xml(order(**operation) | (top or {}), "Request")


def output(**changes):
    """The same with other children of Output."""
    changed = order()
    changed["Operation"]["Output"] |= changes
    return format_xml(changed, "Request")


def only(written):
    """The one operation that ``parse_job`` reads."""
    (operation,) = parse_job(written).operations
    return operation


def asked(**elements):
    """The order that ``parse_job`` reads from these children of NoiseReduction."""
    return only(body(NoiseReduction=elements)).noise_reduction


def refusal(written):
    """Code and message ``parse_job`` refuses with."""
    with pytest.raises(ServiceError) as refused:
        parse_job(written)
    return refused.value.code, refused.value.message


PYTHON = format_xml(
    {
        "Tag": "NoiseReduction",
        "QueueId": "",
        "Input": {"Object": "input/demo.mp3"},
        "Operation": {
            "NoiseReduction": {"Format": "mp3", "SampleRate": 44100},
            "Output": {"Region": "ap-chongqing", "Bucket": "test-1250000000", "Object": "output/out.wav"},
            "UserData": "ticket-42",
            "JobLevel": 1,
        },
    },
    "Request",
)
# Go writes no declaration, its own order, and the other spelling of the rate.
GO = b"""<Request><Tag>NoiseReduction</Tag><Input><Object>input/demo.mp3</Object></Input><Operation><Output>
<Region>ap-chongqing</Region><Bucket>test-1250000000</Bucket><Object>output/out.wav</Object></Output><UserData>ticket-42
</UserData><JobLevel>1</JobLevel><NoiseReduction><Format>mp3</Format><Samplerate>44100</Samplerate></NoiseReduction>
</Operation></Request>""".replace(b"\n", b"")
# Java's SDK writes elements it has no values for, empty, and its order within Output differs.
JAVA = b"""<?xml version="1.0" encoding="UTF-8"?>
<Request><Tag>NoiseReduction</Tag><BucketName>test-1250000000</BucketName><QueueId></QueueId><CallBack></CallBack>
<Input><Object>input/demo.mp3</Object><Url/></Input><Operation><TemplateId/><Output><Bucket>test-1250000000</Bucket>
<Object>output/out.wav</Object><Region>ap-chongqing</Region></Output><NoiseReduction><Format>mp3</Format>
<SampleRate>44100</SampleRate></NoiseReduction><UserData>ticket-42</UserData><JobLevel>1</JobLevel></Operation></Request>
"""
# PHP writes one line after a declaration and may add a trailing line feed.
PHP = b"""<?xml version="1.0"?>
<Request><Tag>NoiseReduction</Tag><Input><Object>input/demo.mp3</Object></Input><Operation><NoiseReduction>\
<Format>mp3</Format><SampleRate>44100</SampleRate></NoiseReduction><Output><Region>ap-chongqing</Region>\
<Bucket>test-1250000000</Bucket><Object>output/out.wav</Object></Output><UserData>ticket-42</UserData>\
<JobLevel>1</JobLevel></Operation><CallBack>no</CallBack></Request>
"""
# Users of Node write the XML themselves, or with a library that indents.
NODE = b"""<Request>
  <Tag>
    NoiseReduction
  </Tag>
  <Operation>
    <JobLevel> 1 </JobLevel>
    <UserData>ticket-42</UserData>
    <Output>
      <Region> ap-chongqing </Region>
      <Bucket> test-1250000000 </Bucket>
      <Object>output/out.wav</Object>
    </Output>
    <NoiseReduction>
      <SampleRate> 44100 </SampleRate>
      <Format> mp3 </Format>
    </NoiseReduction>
  </Operation>
  <Input>
    <Object>input/demo.mp3</Object>
  </Input>
  <QueueId>
  </QueueId>
</Request>"""


@pytest.mark.parametrize(
    ("written", "spelling"),
    [
        pytest.param(PYTHON, RateSpelling.JOB, id="Python"),
        pytest.param(GO, RateSpelling.TEMPLATE, id="Go"),
        pytest.param(JAVA, RateSpelling.JOB, id="Java"),
        pytest.param(PHP, RateSpelling.JOB, id="PHP"),
        pytest.param(NODE, RateSpelling.JOB, id="Node"),
    ],
)
def test_what_the_sdks_send(written, spelling):
    """The same job, as each SDK writes it, is read as the same request, but for the spelling to echo."""
    assert parse_job(written) == JobRequest(
        input_object="input/demo.mp3",
        operations=(
            OperationRequest(
                noise_reduction=NoiseReduction(format=AudioFormat.MP3, sample_rate=44100, spelling=spelling),
                output=OUTPUT,
                user_data="ticket-42",
                job_level=1,
            ),
        ),
        callback=JobCallback(muted=True) if b"CallBack>no" in written else QUEUE_DECIDES,
    )


def test_defaults():
    """A minimal body gives wav at 16 kHz, and remembers that nothing else was said."""
    assert parse_job(body()) == JobRequest(
        input_object="input/demo.mp3", operations=(OperationRequest(noise_reduction=NoiseReduction(), output=OUTPUT),)
    )


@pytest.mark.parametrize("written", [{}, None, {"Format": None}, {"SampleRate": "", "Samplerate": None}])
def test_an_empty_order_is_the_default_one(written):
    """An empty NoiseReduction and empty elements inside count as absent."""
    assert only(body(NoiseReduction=written)).noise_reduction == NoiseReduction()


@pytest.mark.parametrize("spelling", list(RateSpelling))
@pytest.mark.parametrize("rate", [8000, 12000, 16000, 24000, 32000, 44100, 48000])
def test_every_rate_in_both_spellings(rate, spelling):
    """All seven rates are read in either spelling, which is kept."""
    found = only(body(NoiseReduction={spelling: rate})).noise_reduction
    assert (found.sample_rate, found.spelling) == (rate, spelling)


@pytest.mark.parametrize("name", list(AudioFormat))
def test_every_format(name):
    """The protocol's three formats and our two are read."""
    assert only(body(NoiseReduction={"Format": name})).noise_reduction.format is name


def test_both_spellings_may_agree():
    """Both spellings with one rate are fine; with different rates the request contradicts itself."""
    agreed = only(body(NoiseReduction={"Samplerate": 8000, "SampleRate": 8000})).noise_reduction
    assert (agreed.sample_rate, agreed.spelling) == (8000, RateSpelling.JOB)
    code, message = refusal(body(NoiseReduction={"Samplerate": 8000, "SampleRate": 16000}))
    assert code == "InvalidArgument"
    assert "Request.Operation.NoiseReduction" in message


def test_extensions():
    """All of our elements are read together, in any order and with white space around their words."""
    written = {"Video": "keep", "Loudness": " -20.50 ", "Channels": "\nkeep", "Strength": "24", "Model": "best"}
    assert asked(**written, Format="m4a", SampleRate=48000) == NoiseReduction(
        format=AudioFormat.M4A,
        sample_rate=48000,
        model="best",
        strength=24,
        channels=Channels.KEEP,
        loudness=Decimal("-20.50"),
        video=True,
    )


@pytest.mark.parametrize("name", ["Model", "Strength", "Channels", "Loudness", "Video", "Dereverb"])
@pytest.mark.parametrize("empty", ["", None, " "])
def test_an_empty_extension_is_absent(name, empty):
    """An empty element of ours changes nothing, as an empty one of the protocol's does."""
    assert asked(**{name: empty}) == NoiseReduction()


@pytest.mark.parametrize(
    ("element", "found"),
    [
        ({"Model": "off"}, {"model": "off"}),
        ({"Strength": "0"}, {"strength": 0}),
        ({"Strength": "100"}, {"strength": 100}),
        ({"Channels": "mix"}, {"channels": Channels.MIX}),
        ({"Loudness": "-70"}, {"loudness": Decimal(-70)}),
        ({"Loudness": "-5.00"}, {"loudness": Decimal("-5.00")}),
        ({"Loudness": "keep"}, {"loudness": "keep"}),
    ],
)
def test_the_ends_of_each_extension(element, found):
    """The least and the greatest value of each element are legal, and what says the default is told from nothing."""
    assert asked(**element) == NoiseReduction(**found)


@pytest.mark.parametrize("rate", SAMPLE_RATES)
@pytest.mark.parametrize("spelling", list(RateSpelling))
def test_rates_of_opus(rate, spelling):
    """Opus takes its five rates; the two others are refused with those five, in the spelling that was sent."""
    written = {"Format": "opus", spelling: rate}
    if rate in (8000, 12000, 16000, 24000, 48000):
        assert asked(**written).sample_rate == rate
        return
    code, message = refusal(body(NoiseReduction=written))
    assert code == "InvalidArgument"
    assert message.startswith(f"Request.Operation.NoiseReduction.{spelling} is '{rate}'; ")
    assert message.endswith("with Format opus use one of 8000, 12000, 16000, 24000, 48000.")


@pytest.mark.parametrize("form", [None, "wav", "mp3", "flac", "opus"])
def test_video_needs_a_container_for_it(form):
    """The video stream can be kept in M4A alone; the refusal says so."""
    code, message = refusal(body(NoiseReduction={"Format": form, "Video": "keep"}))
    assert code == "InvalidArgument"
    assert message == "Request.Operation.NoiseReduction.Video is 'keep'; use Format m4a with it, or leave it out."


@pytest.mark.parametrize(
    ("name", "values", "legal"),
    [
        ("Model", ["dnf3", "Best", "best,off"], "use one of best, dfn3, off."),
        (
            "Strength",
            ["101", "-1", "24.0", "1e1", "024", "+24", "24dB", "\u0662\u0664", "9" * 5000, "nan"],
            "use a whole number from 0 to 100, dB.",
        ),
        ("Channels", ["2", "stereo", "Keep"], "use one of mix, keep."),
        (
            "Loudness",
            ["-4.99", "-70.01", "-4", "0", "20", "-023", "-23.", "-23.125", "-2e1", "-inf", "nan", "-23 LUFS", "Keep"],
            "use a number from -70 to -5, LUFS, with at most two decimals, or keep.",
        ),
        ("Video", ["drop", "copy", "true"], "use one of keep."),
    ],
)
def test_refused_extensions(name, values, legal):
    """A value that is none is refused with the element, the value, and what is legal."""
    for value in values:
        code, message = refusal(body(NoiseReduction={"Format": "m4a", name: value}))
        assert code == "InvalidArgument"
        assert message.startswith(f"Request.Operation.NoiseReduction.{name} is '{value[:64]}")
        assert message.endswith(legal)


@given(st.text(st.characters(codec="utf-8", categories=["L", "P", "S", "Z"]), max_size=12))
def test_no_text_breaks_an_extension(text):
    """Whatever text an element of ours holds, it is refused as an argument, never a fault of the server."""
    for name in ("Model", "Strength", "Channels", "Loudness", "Video"):
        written = document("Request", tree(order(NoiseReduction={"Format": "m4a", name: text})))
        if text.strip() not in ("", "mix", "keep"):
            assert refusal(written)[0] == "InvalidArgument"


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level(level):
    """All three levels are read, and 0 is told from none."""
    assert only(body(JobLevel=level)).job_level == level


def test_queue():
    """QueueId is kept for the caller to look up, QueueType may be the speech queue's."""
    assert parse_job(body({"QueueId": "pabc", "QueueType": "Speeching"})).queue_id == "pabc"


@pytest.mark.parametrize("text", ["x", " two  spaces ", "~" * 1024, "<&>\"'"])
def test_user_data_is_kept_as_written(text):
    """Printable ASCII up to 1024 characters is kept to the letter, white space included."""
    assert only(document("Request", tree(order(UserData=text)))).user_data == text


def tree(mapping):
    """A mapping as the children of a document."""
    return [(name, tree(value) if isinstance(value, dict) else value) for name, value in mapping.items()]


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z"]), min_size=1, max_size=212))
def test_keys_are_kept_as_written(key):
    """Any key is kept to the letter, white space included, in input and output."""
    key = f"k{key}."
    written = order() | {"Input": {"Object": key}}
    written["Operation"]["Output"]["Object"] = key
    found = parse_job(document("Request", tree(written)))
    assert found.input_object == found.operations[0].output.object == key


@pytest.mark.parametrize("key", ["a" * 850, "中" * 283, " a ", "a//b/../", "a.M3U8.wav"])
def test_legal_keys(key):
    """Keys of up to 850 bytes with any characters are legal."""
    assert parse_job(body({"Input": {"Object": key}})).input_object == key


def test_unknown_elements_are_ignored():
    """Elements and attributes the protocol does not know change nothing."""
    written = body({"Extra": {"Tag": "x"}, "@version": "1"}, Transcode={"Container": {"Format": "mp4"}})
    assert parse_job(written) == parse_job(body())


@pytest.mark.parametrize(
    ("written", "code", "names"),
    [
        (body({"Tag": "Transcode"}), "InvalidArgument", ["Request.Tag", "'Transcode'", "NoiseReduction"]),
        (body({"Tag": "noisereduction"}), "InvalidArgument", ["Request.Tag"]),
        (body({"Tag": None}), "InvalidArgument", ["Request.Tag", "NoiseReduction"]),
        (body({"Input": None}), "InvalidArgument", ["Request.Input"]),
        (body({"Input": {"Object": None}}), "InvalidArgument", ["Request.Input.Object"]),
        (body({"Input": {"Object": "/a.wav"}}), "InvalidArgument", ["Request.Input.Object", "'/'"]),
        (body({"Input": {"Object": "a" * 851}}), "InvalidArgument", ["Request.Input.Object", "850"]),
        (body({"Input": {"Object": "中" * 284}}), "InvalidArgument", ["Request.Input.Object", "850"]),
        (body({"Input": {"Object": {"x": "y"}}}), "InvalidArgument", ["Request.Input.Object"]),
        (body({"Input": {"Object": "list.M3U8"}}), "InvalidArgument", ["Request.Input.Object", "m3u8"]),
        (body({"Operation": None}), "InvalidArgument", ["Request.Operation"]),
        (body(Output=None), "InvalidArgument", ["Request.Operation.Output"]),
        (output(Region=None), "InvalidArgument", ["Request.Operation.Output.Region"]),
        (output(Region="AP Chongqing"), "InvalidArgument", ["Request.Operation.Output.Region", "'AP Chongqing'"]),
        (output(Region="a" * 41), "InvalidArgument", ["Request.Operation.Output.Region"]),
        (output(Bucket=""), "InvalidArgument", ["Request.Operation.Output.Bucket"]),
        (output(Bucket="test"), "InvalidArgument", ["Request.Operation.Output.Bucket", "<name>-<APPID>"]),
        (output(Bucket="Test-1250000000"), "InvalidArgument", ["Request.Operation.Output.Bucket"]),
        (output(Bucket="a" * 60 + "-1"), "InvalidArgument", ["Request.Operation.Output.Bucket"]),
        (output(Object=None), "InvalidArgument", ["Request.Operation.Output.Object"]),
        (output(Object="/out.wav"), "InvalidArgument", ["Request.Operation.Output.Object"]),
        (output(Object="a" * 851), "InvalidArgument", ["Request.Operation.Output.Object"]),
        (
            body(NoiseReduction={"Format": "ogg"}),
            "InvalidArgument",
            ["Request.Operation.NoiseReduction.Format", "'ogg'", "wav, mp3, m4a, flac, opus"],
        ),
        (body(NoiseReduction={"Format": "WAV"}), "InvalidArgument", ["NoiseReduction.Format"]),
        (
            body(NoiseReduction={"SampleRate": "22050"}),
            "InvalidArgument",
            ["Request.Operation.NoiseReduction.SampleRate", "8000, 12000, 16000, 24000, 32000, 44100, 48000"],
        ),
        (body(NoiseReduction={"Samplerate": "16k"}), "InvalidArgument", ["NoiseReduction.Samplerate", "'16k'"]),
        (body(NoiseReduction={"SampleRate": "016000"}), "InvalidArgument", ["NoiseReduction.SampleRate"]),
        (body(JobLevel=3), "InvalidArgument", ["Request.Operation.JobLevel", "'3'", "0, 1, 2"]),
        (body(JobLevel="+1"), "InvalidArgument", ["Request.Operation.JobLevel"]),
        (body(UserData="a" * 1025), "InvalidArgument", ["Request.Operation.UserData", "1024"]),
        (body(UserData="中"), "InvalidArgument", ["Request.Operation.UserData", "ASCII"]),
        (body(UserData="a\nb"), "InvalidArgument", ["Request.Operation.UserData"]),
        (body({"QueueType": "Transcoding"}), "InvalidArgument", ["Request.QueueType", "Speeching"]),
        (body({"QueueId": "p/1"}), "InvalidArgument", ["Request.QueueId"]),
        (body({"QueueId": "p" * 65}), "InvalidArgument", ["Request.QueueId"]),
        (body({"CallBackFormat": "YAML"}), "InvalidArgument", ["Request.CallBackFormat", "XML, JSON"]),
        (body({"CallBackType": "Mail"}), "InvalidArgument", ["Request.CallBackType", "Url, TDMQ"]),
        (body({"Input": {"Url": "http://x/a.wav"}}), "NotImplemented", ["Request.Input.Url"]),
        (body({"CallBackKafkaConfig": {"Topic": "t"}}), "NotImplemented", ["Request.CallBackKafkaConfig"]),
        (body(TemplateId="t1/abc"), "InvalidArgument", ["Request.Operation.TemplateId", "'t1/abc'", "template"]),
        (
            body(TemplateId="t1abc", NoiseReduction={"Format": "ogg"}),
            "InvalidArgument",
            ["Request.Operation.NoiseReduction.Format"],
        ),
        (
            body(NoiseReduction={"Dereverb": "on"}),
            "NotImplemented",
            ["Request.Operation.NoiseReduction.Dereverb", "not offered"],
        ),
        (body(Tag="Transcode"), "InvalidArgument", ["Request.Operation.Tag", "'Transcode'", "NoiseReduction"]),
    ],
)
def test_refusals(written, code, names):
    """Each refusal names the element and what is legal there; what is only missing yet says so."""
    found, message = refusal(written)
    assert found == code
    assert all(name in message for name in names)
    assert ("yet" in message) == (code == "NotImplemented")


@pytest.mark.parametrize(
    "path",
    [
        "Tag",
        "Input",
        "Input.Object",
        "QueueId",
        "QueueType",
        "CallBack",
        "CallBackType",
        "CallBackFormat",
        "Operation.NoiseReduction",
        "Operation.NoiseReduction.Format",
        "Operation.NoiseReduction.SampleRate",
        "Operation.NoiseReduction.Samplerate",
        "Operation.NoiseReduction.Model",
        "Operation.NoiseReduction.Strength",
        "Operation.NoiseReduction.Channels",
        "Operation.NoiseReduction.Loudness",
        "Operation.NoiseReduction.Video",
        "Operation.Output",
        "Operation.Output.Region",
        "Operation.Output.Bucket",
        "Operation.Output.Object",
        "Operation.UserData",
        "Operation.JobLevel",
        "Operation.TemplateId",
        "Operation.Tag",
        "CallBackMqConfig",
        "CallBackMqConfig.MqName",
    ],
)
def test_repeated_elements(path):
    """An element given twice is refused, even with the same content, rather than one of the two chosen."""
    sound = {"Model": "best", "Strength": "24", "Channels": "keep", "Loudness": "-20", "Video": "keep"}
    form = {"Format": "m4a", "SampleRate": "16000", "Samplerate": "16000"}
    full = order(NoiseReduction=form | sound, UserData="u", JobLevel="0", TemplateId="t1", Tag="NoiseReduction") | {
        "QueueId": "p",
        "QueueType": "Speeching",
        "CallBack": "no",
        "CallBackType": "Url",
        "CallBackFormat": "XML",
        "CallBackMqConfig": {"MqRegion": "sh", "MqMode": "Topic", "MqName": "t"},
    }
    assert parse_job(format_xml(full, "Request")).queue_id == "p"
    parent, (*outer, name) = full, path.split(".")
    for step in outer:
        parent = parent[step]
    parent[name] = [parent[name]] * 2
    assert refusal(format_xml(full, "Request")) == (
        "InvalidArgument",
        f"Request.{path} is given 2 times; give it once.",
    )


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (b"", "MissingContent"),
        (b" \n", "MissingContent"),
        (b'{"Tag": "NoiseReduction"}', "InvalidContent"),
        (b"<Request>", "InvalidContent"),
        (b"<Response/>", "InvalidContent"),
        (b"<!DOCTYPE Request><Request/>", "InvalidContent"),
        (b"<Request>" * 40 + b"</Request>" * 40, "InvalidContent"),
        (b"<Request>" + b" " * 70_000 + b"</Request>", "InvalidContent"),
    ],
)
def test_bodies_that_are_no_requests(written, code):
    """No body, no XML, another root, hostile and oversized documents are told apart from bad arguments."""
    assert refusal(written)[0] == code


def test_messages_stay_readable():
    """A long wrong value is cut in the message."""
    assert len(refusal(body(JobLevel="9" * 10_000))[1]) < 200


def several(*operations, **top):
    """A body with several Operations, of which each has other children, and no Tag above unless one is given."""
    made = [order()["Operation"] | {"Tag": "NoiseReduction"} | operation for operation in operations]
    return format_xml({"Input": {"Object": "in.wav"}, "Operation": made} | top, "Request")


@pytest.mark.parametrize("count", range(1, 7))
def test_several_operations(count):
    """One to six Operations are read in their order, each with its own order, level and note."""
    found = parse_job(several(*({"UserData": f"u{number}"} for number in range(count))))
    assert [operation.user_data for operation in found.operations] == [f"u{number}" for number in range(count)]
    assert found.input_object == "in.wav"


@pytest.mark.parametrize(
    ("above", "below"),
    [
        (None, ["NoiseReduction", "NoiseReduction"]),
        ("NoiseReduction", ["NoiseReduction", "NoiseReduction"]),
        ("NoiseReduction", [None, "NoiseReduction"]),
        ("NoiseReduction", [None, None]),
        (None, ["NoiseReduction"]),
    ],
)
def test_where_the_tag_stands(above, below):
    """The Tag may stand above, in each Operation, or in both places."""
    assert len(parse_job(several(*({"Tag": tag} for tag in below), Tag=above)).operations) == len(below)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (several({"Tag": None}, {}), ["Some Operations", "NoiseReduction"]),
        (several({"Tag": None}, {"Tag": None}), ["Request.Tag", "missing"]),
        (several({}, {"Tag": "Transcode"}), ["Request.Operation[2].Tag", "'Transcode'"]),
        (several({}, {"Tag": "Transcode"}, Tag="NoiseReduction"), ["Request.Operation[2].Tag"]),
        (several({}, Tag="Transcode"), ["Request.Tag"]),
        (several({}, {"JobLevel": "7"}), ["Request.Operation[2].JobLevel"]),
        (several({}, {"Output": None}), ["Request.Operation[2].Output", "missing"]),
        (several({}, {"NoiseReduction": {"Format": "ogg"}}), ["Request.Operation[2].NoiseReduction.Format"]),
        (several(*[{}] * 7), ["Request.Operation", "7 times", "1 to 6"]),
        (several(), ["Request.Operation", "missing"]),
    ],
)
def test_refusals_of_several_operations(written, names):
    """Mixed and missing Tags, too many Operations and a fault in one of them are refused, with its number."""
    code, message = refusal(written)
    assert code == "InvalidArgument"
    assert all(name in message for name in names)


def test_template():
    """TemplateId is kept for the caller to look up, beside the order it wins over."""
    found = only(body(TemplateId="t1abc", NoiseReduction={"Format": "mp3"}))
    assert (found.template_id, found.noise_reduction.format) == ("t1abc", AudioFormat.MP3)
