from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos.cos_comm import format_dict, format_xml, xml_to_dict

from sordino.domain.job import AudioFormat, Channels, NoiseReduction, RateSpelling
from sordino.domain.page import Page, Paged
from sordino.domain.template import Template
from sordino.errors import ServiceError
from sordino.wire import templates
from sordino.wire.query import Query
from sordino.wire.templates import (
    TemplateQuery,
    parse_template_query,
    render_found_templates,
    render_removed_template,
    render_template,
    render_template_page,
)
from sordino.wire.xml import document

parse_template = partial(templates.parse_template, models=("best", "dfn3"))

CREATED = datetime(2026, 1, 5, 2, tzinfo=UTC)
DEFAULT = NoiseReduction(spelling=RateSpelling.TEMPLATE)
TEMPLATE = Template(
    template_id="t1abc",
    bucket="test-1250000000",
    name="会议_8k",
    noise_reduction=DEFAULT,
    created_at=CREATED,
    updated_at=CREATED + timedelta(seconds=1),
)
PLAIN = TemplateQuery(ids=(), prefix="", page=Page(), ours=True)


def body(**elements):
    """A template's body, with other elements."""
    standard = {"Tag": "NoiseReduction", "Name": "TemplateName", "NoiseReduction": {"Format": "wav"}}
    return format_xml(standard | elements, "Request")


def refusal(read, written):
    """Code and message that ``written`` is refused with."""
    with pytest.raises(ServiceError) as refused:
        read(written)
    return refused.value.code, refused.value.message


def asked(**parameters):
    """What the parameters ask for."""
    return parse_template_query(Query.parse(urlencode(parameters).encode()))


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (
            {"Format": "mp3", "Samplerate": 8000},
            NoiseReduction(format=AudioFormat.MP3, sample_rate=8000, spelling=RateSpelling.TEMPLATE),
        ),
        ({"SampleRate": 48000}, NoiseReduction(sample_rate=48000, spelling=RateSpelling.JOB)),
        (
            {"Channels": "keep", "Model": "dfn3"},
            NoiseReduction(channels=Channels.KEEP, model="dfn3", spelling=RateSpelling.TEMPLATE),
        ),
        ({}, DEFAULT),
        ("", DEFAULT),
    ],
)
def test_a_template_is_read(order, found):
    """Name and order are read, the rate in either spelling; an empty order is the default one."""
    assert parse_template(body(NoiseReduction=order)) == ("TemplateName", found)


@pytest.mark.parametrize("name", ["a", "A-Z_0*9", "会议", "x" * 64, " x "])
def test_names(name):
    """Chinese, English letters, digits, `_`, `-` and `*`, up to 64 characters."""
    assert parse_template(body(Name=name))[0] == name.strip()


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        ({"Tag": "Watermark"}, ["Request.Tag", "'Watermark'", "NoiseReduction"]),
        ({"Tag": ""}, ["Request.Tag", "missing"]),
        ({"Name": ""}, ["Request.Name", "missing", "64"]),
        ({"Name": "x" * 65}, ["Request.Name", "64"]),
        ({"Name": "a b"}, ["Request.Name", "'a b'", "digits"]),
        ({"Name": "naïve"}, ["Request.Name"]),
        ({"NoiseReduction": {"Format": "ogg"}}, ["Request.NoiseReduction.Format", "'ogg'"]),
        ({"NoiseReduction": {"Samplerate": 22050}}, ["Request.NoiseReduction.Samplerate", "8000"]),
        ({"NoiseReduction": [{}, {}]}, ["Request.NoiseReduction", "2 times"]),
    ],
)
def test_refused_templates(elements, names):
    """Each refusal names the element and what is legal there."""
    code, message = refusal(parse_template, body(**elements))
    assert code == "InvalidArgument"
    assert all(name in message for name in names)


def test_a_template_without_an_order():
    """The order must be there, even if it is empty."""
    written = b"<Request><Tag>NoiseReduction</Tag><Name>n</Name></Request>"
    code, message = refusal(parse_template, written)
    assert code == "InvalidArgument"
    assert message.startswith("Request.NoiseReduction is missing; it may be empty")


@pytest.mark.parametrize(("written", "code"), [(b"", "MissingContent"), (b"<Template/>", "InvalidContent")])
def test_bodies_that_are_no_requests(written, code):
    """No body and another document are told apart from bad arguments."""
    assert refusal(parse_template, written)[0] == code


def outcome(written):
    """The name that is read, or the code of the refusal."""
    try:
        return parse_template(written)[0]
    except ServiceError as refused:
        return refused.code


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z"]), max_size=70))
def test_no_name_breaks_the_reader(name):
    """Any name is read as it is, or refused as an argument."""
    written = document("Request", [("Tag", "NoiseReduction"), ("Name", name), ("NoiseReduction", "")])
    assert outcome(written) in (name.strip(), "InvalidArgument")


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, PLAIN),
        ({"tag": "All", "category": "Custom", "ids": "", "name": "", "pageNumber": "", "pageSize": ""}, PLAIN),
        ({"tag": "NoiseReduction"}, PLAIN),
        ({"ids": "t1a, t1b,,t1a"}, TemplateQuery(ids=("t1a", "t1b"), prefix="", page=Page(), ours=True)),
        (
            {"name": "会", "pageNumber": "3", "pageSize": "100"},
            TemplateQuery(ids=(), prefix="会", page=Page(number=3, size=100), ours=True),
        ),
        ({"category": "Official"}, TemplateQuery(ids=(), prefix="", page=Page(), ours=False)),
        ({"tag": "Transcode"}, TemplateQuery(ids=(), prefix="", page=Page(), ours=False)),
    ],
)
def test_lists(parameters, found):
    """Parameters are read; other kinds of templates are asked for rightly, and there are none."""
    assert asked(**parameters) == found


@pytest.mark.parametrize(
    "parameters",
    [
        {"tag": "a b"},
        {"category": "custom"},
        {"pageNumber": "0"},
        {"pageNumber": "1000001"},
        {"pageSize": "0"},
        {"pageSize": "101"},
        {"pageSize": "-1"},
        {"pageSize": "1.0"},
        {"ids": ",".join(map(str, range(101)))},
        {"ids": "t" * 129},
    ],
)
def test_refused_lists(parameters):
    """Each refusal names its parameter."""
    ((name, _),) = parameters.items()
    code, message = refusal(lambda written: asked(**written), parameters)
    assert code == "InvalidArgument"
    assert name in message


def test_a_template_to_the_letter():
    """The reply of creating one is the protocol's sample."""
    assert render_template(TEMPLATE, "cmlk").decode() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        "<Response><RequestId>cmlk</RequestId><Template><TemplateId>t1abc</TemplateId><Name>会议_8k</Name>"
        "<State>Normal</State><Tag>NoiseReduction</Tag><CreateTime>2026-01-05T10:00:00+0800</CreateTime>"
        "<UpdateTime>2026-01-05T10:00:01+0800</UpdateTime><BucketId>test-1250000000</BucketId>"
        "<Category>Custom</Category><NoiseReduction><Format>wav</Format><Samplerate>16000</Samplerate></NoiseReduction>"
        "</Template></Response>"
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_page(count):
    """A page has the counts and its templates."""
    data = xml_to_dict(
        render_template_page(Paged(items=(TEMPLATE,) * count, total=7, page=Page(number=2, size=5)), "cmlk")
    )
    format_dict(data, ["TemplateList"])
    assert (data["RequestId"], data["TotalCount"], data["PageNumber"], data["PageSize"]) == ("cmlk", "7", "2", "5")
    assert [found["TemplateId"] for found in data.get("TemplateList", [])] == ["t1abc"] * count


def test_templates_by_their_ids():
    """Templates that were asked for by ids come without counts, and those that do not exist are named."""
    data = xml_to_dict(render_found_templates([TEMPLATE], ["C", "D"], "cmlk"))
    assert data.keys() == {"RequestId", "TemplateList", "NonExistTIDs"}
    assert data["NonExistTIDs"] == {"TemplateId": ["C", "D"]}
    assert "NonExistTIDs" not in xml_to_dict(render_found_templates([TEMPLATE], [], "cmlk"))


def test_a_removed_template():
    """The reply of deleting one names it."""
    assert xml_to_dict(render_removed_template("t1abc", "cmlk")) == {"RequestId": "cmlk", "TemplateId": "t1abc"}
