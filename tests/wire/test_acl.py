"""Access control lists: bodies as clients send them, replies as they read them."""

import re

import pytest
from qcloud_cos.cos_client import parse_bucket_canned_acl
from qcloud_cos.cos_comm import format_xml, xml_to_dict

from sordino.domain.acl import Acl
from sordino.domain.resource import Owner
from sordino.errors import ServiceError
from sordino.wire.acl import ALL_USERS, MAX_GRANTS, ROOT, owner_id, parse_acl, render_acl
from sordino.wire.part import read_cos

OWNER = Owner(appid="1250000000", uin="100000000001")
ID = "qcs::cam::uin/100000000001:uin/100000000001"
FULL = {"Grantee": {"Type": "CanonicalUser", "ID": ID}, "Permission": "FULL_CONTROL"}
EVERYBODY = {"Grantee": {"Type": "Group", "URI": ALL_USERS}, "Permission": "READ"}
ANYONE = {"Grantee": {"Type": "CanonicalUser", "ID": "qcs::cam::anyone:anyone"}, "Permission": "READ"}


def body(*grants: object, owner: str = ID) -> bytes:
    """A list as the Python SDK writes it."""
    return format_xml({"Owner": {"ID": owner}, "AccessControlList": {"Grant": list(grants)}}, ROOT)


def read(written: bytes) -> Acl:
    """What a body says."""
    return parse_acl(read_cos(written, ROOT), OWNER)


@pytest.mark.parametrize(
    ("grants", "acl"),
    [
        ([FULL], Acl.PRIVATE),
        ([], Acl.PRIVATE),
        ([FULL, EVERYBODY], Acl.PUBLIC_READ),
        ([EVERYBODY, FULL], Acl.PUBLIC_READ),
        ([ANYONE], Acl.PUBLIC_READ),
    ],
)
def test_grants_that_are_offered(grants, acl):
    """The owner's full control, and everybody's reading in either spelling; the owner keeps control anyway."""
    assert read(body(*grants)) is acl


@pytest.mark.parametrize(
    ("grant", "code", "hint"),
    [
        (EVERYBODY | {"Permission": "WRITE"}, "NotImplemented", ALL_USERS),
        (EVERYBODY | {"Permission": "FULL_CONTROL"}, "NotImplemented", "x-cos-acl"),
        (FULL | {"Permission": "READ"}, "NotImplemented", ID),
        ({"Grantee": {"ID": "qcs::cam::uin/2:uin/2"}, "Permission": "READ"}, "NotImplemented", "uin/2"),
        ({"Grantee": {"Type": "Group"}, "Permission": "READ"}, "InvalidArgument", "neither URI nor ID"),
        ({"Permission": "READ"}, "InvalidArgument", "Grantee"),
        ({"Grantee": {"ID": ID}}, "InvalidArgument", "Permission"),
    ],
)
def test_other_grants(grant, code, hint):
    """Grants that are not offered, or are none, are refused with what to write."""
    with pytest.raises(ServiceError, match=re.escape(hint)) as refused:
        read(body(FULL, grant))
    assert refused.value.code == code


def test_another_owner():
    """A list cannot give a bucket away."""
    with pytest.raises(ServiceError) as refused:
        read(body(FULL, owner="qcs::cam::uin/2:uin/2"))
    assert refused.value.code == "AccessDenied"


@pytest.mark.parametrize(
    "written", [b"<AccessControlPolicy/>", body(*[EVERYBODY] * (MAX_GRANTS + 1))], ids=["no list", "too many"]
)
def test_lists_that_are_none(written):
    """A body needs a list, of as many grants as make sense."""
    with pytest.raises(ServiceError) as refused:
        read(written)
    assert refused.value.code == "InvalidArgument"


@pytest.mark.parametrize("acl", [Acl.PRIVATE, Acl.PUBLIC_READ])
def test_a_reply_as_the_python_sdk_reads_it(acl):
    """The SDK finds the owner, the grants with the types of their grantees, and the name of the list in them."""
    data = xml_to_dict(render_acl(acl, OWNER), "type", "Type")
    grants = data["AccessControlList"]["Grant"]
    grants = grants if isinstance(grants, list) else [grants]
    assert data["Owner"] == {"ID": ID, "DisplayName": OWNER.uin}
    assert grants[-1] == {
        "Grantee": {"Type": "CanonicalUser", "ID": ID, "DisplayName": OWNER.uin},
        "Permission": "FULL_CONTROL",
    }
    assert parse_bucket_canned_acl({"AccessControlList": {"Grant": grants}}) == acl.value


@pytest.mark.parametrize("acl", [Acl.PRIVATE, Acl.PUBLIC_READ])
def test_what_is_shown_can_be_put_again(acl):
    """A reply is a legal body."""
    assert read(render_acl(acl, OWNER)) is acl


def test_the_type_is_an_attribute_of_the_schema():
    """Grantees carry ``xsi:type``, as COS documents it."""
    assert b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"' in render_acl(
        Acl.PUBLIC_READ, OWNER
    )
    assert owner_id(OWNER) == ID
