"""Bodies of COS calls, as far as all of them are alike."""

import pytest

from sordino.errors import ServiceError
from sordino.wire.part import read_cos

DOCTYPE = b'<!DOCTYPE Delete [<!ENTITY e SYSTEM "file:///etc/passwd">]><Delete>&e;</Delete>'


def test_the_root_is_read() -> None:
    """The root is found with or without declaration and namespace."""
    for body in (b"<Delete><Quiet/></Delete>", b"<?xml version='1.0'?><Delete xmlns='urn:x'><Quiet/></Delete>"):
        assert read_cos(body, "Delete").container("Quiet") is not None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingRequestBodyError"),
        (b" \n", "MissingRequestBodyError"),
        (b"{}", "MalformedXML"),
        (b"<Delete>", "MalformedXML"),
        (b"<Tagging/>", "MalformedXML"),
        (DOCTYPE, "MalformedXML"),
        (b"<Delete>" + b"<a>" * 40 + b"</a>" * 40 + b"</Delete>", "MalformedXML"),
        (b"<Delete>" + b" " * 100 + b"</Delete>", "MalformedXML"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:12]),
)
def test_refused_bodies(body: bytes, code: str) -> None:
    """COS has codes of its own for a body that is missing, and for one that is not what it should be."""
    with pytest.raises(ServiceError) as refusal:
        read_cos(body, "Delete", 80)
    assert (refusal.value.status, refusal.value.code) == (400, code)
