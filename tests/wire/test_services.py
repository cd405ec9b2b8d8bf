from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from qcloud_cos.cos_comm import xml_to_dict

from sordino.domain.bucket import Bucket
from sordino.domain.page import Page, Paged
from sordino.domain.service import Binding, BindingFilter, ServiceKind
from sordino.errors import ServiceError
from sordino.wire.query import Query
from sordino.wire.services import BindingQuery, parse_binding_query, render_binding, render_binding_page, render_closed

OPENED = datetime(2026, 1, 5, 2, tzinfo=UTC)
BUCKET = Bucket(name="test-1250000000", region="ap-chongqing", appid="1250000000", created_at=OPENED)
SHOWN = (
    "<Name>test-1250000000</Name><BucketId>test-1250000000</BucketId><Region>ap-chongqing</Region>"
    "<CreateTime>2026-01-05T10:00:00+0800</CreateTime><AliasBucketId/>"
)
NAMES = [(ServiceKind.SPEECH, "AsrBucket"), (ServiceKind.AI, "AiBucket"), (ServiceKind.MEDIA, "MediaBucket")]


def asked(parameters):
    """What the parameters ask for."""
    return parse_binding_query(Query.parse(urlencode(parameters).encode()))


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, BindingQuery(wanted=BindingFilter(), page=Page())),
        (
            {"regions": "", "bucketNames": "", "bucketName": "", "pageNumber": "", "pageSize": ""},
            BindingQuery(wanted=BindingFilter(), page=Page()),
        ),
        ({"regions": "All"}, BindingQuery(wanted=BindingFilter(), page=Page())),
        (
            {"regions": "ap-x, ap-y", "bucketNames": "a-1,b-1", "bucketName": "a", "pageNumber": "2", "pageSize": "5"},
            BindingQuery(
                wanted=BindingFilter(regions=frozenset({"ap-x", "ap-y"}), names=frozenset({"a-1", "b-1"}), prefix="a"),
                page=Page(number=2, size=5),
            ),
        ),
    ],
)
def test_lists(parameters, found):
    """Parameters are read; All and nothing ask for every region."""
    assert asked(parameters) == found


@pytest.mark.parametrize("parameters", [{"pageNumber": "0"}, {"pageSize": "0"}, {"pageSize": "101"}])
def test_refused_lists(parameters):
    """Pages begin at 1 and have at most 100 buckets."""
    with pytest.raises(ServiceError) as refused:
        asked(parameters)
    assert refused.value.code == "InvalidArgument"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_an_opened_service_to_the_letter(kind, name):
    """Each service names the bucket with an element of its own."""
    written = render_binding(Binding(bucket=BUCKET, kind=kind, opened_at=OPENED), "cmlk").decode()
    assert written.partition("\n")[2] == f"<Response><RequestId>cmlk</RequestId><{name}>{SHOWN}</{name}></Response>"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_list_to_the_letter(kind, name):
    """A list has the counts and an element for each bucket."""
    binding = Binding(bucket=BUCKET, kind=kind, opened_at=OPENED)
    written = render_binding_page(kind, Paged(items=(binding, binding), total=3, page=Page(size=2)), "cmlk").decode()
    item = f"<{name}List>{SHOWN}</{name}List>"
    assert written.partition("\n")[2] == (
        "<Response><RequestId>cmlk</RequestId><TotalCount>3</TotalCount><PageNumber>1</PageNumber><PageSize>2</PageSize>"
        f"{item}{item}</Response>"
    )


def test_a_closed_service():
    """The reply of closing one names the bucket."""
    assert xml_to_dict(render_closed("test-1250000000", "cmlk")) == {
        "RequestId": "cmlk",
        "BucketName": "test-1250000000",
    }
