"""The template calls over HTTP."""

from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from raw_http import refusal, send
from server import Server


def body(name: str, order: str = "<Format>wav</Format>") -> bytes:
    """A template."""
    return (
        f"<Request><Tag>NoiseReduction</Tag><Name>{name}</Name><NoiseReduction>{order}</NoiseReduction></Request>"
    ).encode()


def create(service: Server, bucket: str, name: str, order: str = "") -> str:
    """Make a template; its id."""
    status, _, content = send(service, "POST", "/template", bucket=bucket, kind="ci", body=body(name, order))
    assert status == 200, content
    return ET.fromstring(content).findtext("Template/TemplateId") or ""


def listed(service: Server, bucket: str, query: str = "") -> ET.Element:
    """The reply of a list."""
    status, _, content = send(service, "GET", f"/template?{query}", bucket=bucket, kind="ci")
    assert status == 200, content
    return ET.fromstring(content)


def names(reply: ET.Element) -> list[str]:
    """The names of the templates in a reply."""
    return [found.findtext("Name") or "" for found in reply.findall("TemplateList")]


def test_the_life_of_a_template(service: Server, new_bucket: Callable[[], str]) -> None:
    """A template is made, shown in the spelling it was sent in, changed, and deleted."""
    bucket = new_bucket()
    template_id = create(service, bucket, "a", "<Format>mp3</Format><SampleRate>8000</SampleRate>")
    found = listed(service, bucket, f"ids={template_id}").find("TemplateList")
    assert (found.findtext("NoiseReduction/SampleRate"), found.findtext("BucketId")) == ("8000", bucket)
    assert found.findtext("CreateTime") == found.findtext("UpdateTime")
    changed = send(service, "PUT", f"/template/{template_id}", bucket=bucket, kind="ci", body=body("b*-_会"))
    shown = ET.fromstring(changed[2]).find("Template")
    assert (shown.findtext("Name"), shown.findtext("NoiseReduction/Samplerate")) == ("b*-_会", "16000")
    removed = send(service, "DELETE", f"/template/{template_id}", bucket=bucket, kind="ci")
    assert ET.fromstring(removed[2]).findtext("TemplateId") == template_id
    for method, sent in (("DELETE", b""), ("PUT", body("c"))):
        answer = send(service, method, f"/template/{template_id}", bucket=bucket, kind="ci", body=sent)
        assert (answer[0], refusal(answer[2])["Code"]) == (404, "TemplateNotFound")


def test_a_name_is_taken_once(service: Server, new_bucket: Callable[[], str]) -> None:
    """Two templates of a bucket do not share a name; those of two buckets may."""
    bucket = new_bucket()
    create(service, bucket, "a")
    second = create(service, bucket, "b")
    for method, path in (("POST", "/template"), ("PUT", f"/template/{second}")):
        answer = send(service, method, path, bucket=bucket, kind="ci", body=body("a"))
        assert (answer[0], refusal(answer[2])["Code"]) == (400, "TemplateNameDuplicate")
    create(service, new_bucket(), "a")


def test_lists(service: Server, new_bucket: Callable[[], str]) -> None:
    """Pages, prefixes, ids, kinds and categories choose templates; those by id come without counts."""
    bucket = new_bucket()
    first = create(service, bucket, "x_1")
    for name in ("x_2", "xy3"):
        create(service, bucket, name)
    page = listed(service, bucket, "pageNumber=2&pageSize=2")
    assert [page.findtext(name) for name in ("TotalCount", "PageNumber", "PageSize")] == ["3", "2", "2"]
    assert len(names(page)) == 1
    for query, found in (
        ("", {"x_1", "x_2", "xy3"}),
        ("tag=All&category=Custom&ids=&name=", {"x_1", "x_2", "xy3"}),
        ("tag=NoiseReduction&name=x_", {"x_1", "x_2"}),
        ("name=%25", set()),
        ("category=Official", set()),
        ("tag=Transcode", set()),
    ):
        reply = listed(service, bucket, query)
        assert (set(names(reply)), reply.findtext("TotalCount")) == (found, str(len(found))), query
    asked = listed(service, bucket, f"ids=tnone,{first}")
    assert [child.tag for child in asked] == ["RequestId", "TemplateList", "NonExistTIDs"]
    assert asked.findtext("NonExistTIDs/TemplateId") == "tnone"
    assert listed(service, bucket, f"ids={first}&category=Official").findtext("NonExistTIDs/TemplateId") == first
    assert listed(service, bucket, f"ids={first}").find("NonExistTIDs") is None


@pytest.mark.parametrize("query", ["pageNumber=0", "pageSize=101", "pageSize=ten", "category=Mine", "tag=%3C"])
def test_refused_lists(service: Server, new_bucket: Callable[[], str], query: str) -> None:
    """A parameter that cannot be met is refused by its name."""
    answer = send(service, "GET", f"/template?{query}", bucket=new_bucket(), kind="ci")
    told = refusal(answer[2])
    assert (answer[0], told["Code"]) == (400, "InvalidArgument")
    assert query.partition("=")[0] in told["Message"]


def test_templates_of_another_bucket(service: Server, new_bucket: Callable[[], str]) -> None:
    """A template is seen and changed in its own bucket alone."""
    bucket, other = new_bucket(), new_bucket()
    template_id = create(service, bucket, "a")
    assert listed(service, other, f"ids={template_id}").findtext("NonExistTIDs/TemplateId") == template_id
    for method, sent in (("DELETE", b""), ("PUT", body("c"))):
        answer = send(service, method, f"/template/{template_id}", bucket=other, kind="ci", body=sent)
        assert refusal(answer[2])["Code"] == "TemplateNotFound"
    assert names(listed(service, bucket)) == ["a"]
