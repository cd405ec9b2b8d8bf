from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sordino.errors import ServiceError
from sordino.wire.xml import document, parse

MEGABYTE = 1 << 20


def read(body, *, max_bytes=8 * MEGABYTE, max_depth=8):
    """Parse with room for large hostile documents."""
    return parse(body, max_bytes=max_bytes, max_depth=max_depth)


def refusal(body, **limits):
    """Status and code ``parse`` refuses with."""
    with pytest.raises(ServiceError) as refused:
        read(body, **limits)
    return refused.value.status, refused.value.code


def start(body):
    """A short name for a long document."""
    return repr(body[:24])


def test_parse_gives_names_text_and_children():
    """Text keeps its white space, children their order, and comments and attributes leave no trace."""
    root = read(b"<R a='1'>x<A> 1\n</A><!-- c --><?pi?><B/>y<A><![CDATA[<&>]]>&amp;&#20013;</A></R>")
    assert (root.name, root.text) == ("R", "xy")
    assert [child.name for child in root.children] == ["A", "B", "A"]
    assert [child.text for child in root.all("A")] == [" 1\n", "<&>&中"]
    assert root.all("C") == ()


@pytest.mark.parametrize(
    "body",
    [
        b"<R><A/></R>",
        b"\xef\xbb\xbf<R><A/></R>",
        b"<?xml version='1.0'?><R><A/></R>",
        b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<R><A/></R>\n',
        b"<?xml version = '1.0' encoding = 'utf8' ?><R><A/></R>",
        b"<R xmlns='http://www.qcloud.com/document/product/436/7751'><A/></R>",
        b"<n:R xmlns:n='http://example.org'><n:A/></n:R>",
    ],
)
def test_declarations_and_namespaces_are_tolerated(body):
    """A byte order mark, an XML declaration and namespaces change nothing."""
    root = read(body)
    assert (root.name, [child.name for child in root.children]) == ("R", ["A"])


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"\xef\xbb\xbf"])
def test_no_body(body):
    """An empty body is told apart from a broken one."""
    assert refusal(body) == (400, "MissingContent")


@pytest.mark.parametrize(
    "body",
    [
        b"text",
        b"{}",
        b"<R>",
        b"<R></S>",
        b"<R/><S/>",
        b"<R/>x",
        b"<R a='1' a='2'/>",
        b"<R>&unknown;</R>",
        b"<R>&#0;</R>",
        b"<R>&#1;</R>",
        b"<R>\0</R>",
        b"<R>\x1f</R>",
        b"<R>\xff</R>",
        b"<R>\xed\xa0\x80</R>",
        b"<R>a & b</R>",
        b"\n<?xml version='1.0'?><R/>",
    ],
)
def test_malformed_documents(body):
    """What is not well-formed XML in UTF-8 is refused with the place of the fault."""
    assert refusal(body) == (400, "InvalidContent")


@pytest.mark.parametrize(
    "body",
    [
        "<R>中</R>".encode("utf-16"),
        "<R>x</R>".encode("utf-16-le"),
        "<R>x</R>".encode("utf-32"),
        "<?xml version='1.0' encoding='UTF-16'?><R>x</R>".encode("utf-16"),
        b"<?xml version='1.0' encoding='UTF-16'?><R>x</R>",
        "<?xml version='1.0' encoding='gbk'?><R>中</R>".encode("gbk"),
        b"<?xml version='1.0' encoding='latin-1'?><R>\xe9</R>",
        b"<?xml version='1.0' encoding='UTF-7'?><R>+ADw-</R>",
        b"\xef\xbb\xbf<?xml version='1.0' encoding='ebcdic-cp-us'?><R/>",
        "<?xml version='1.0'?><R/>".encode("cp037"),
    ],
)
def test_other_encodings(body):
    """Only UTF-8 is read; a declared or hidden other encoding is refused, not guessed."""
    assert refusal(body) == (400, "InvalidContent")


BILLION_LAUGHS = (
    b"<!DOCTYPE R [<!ENTITY e0 'ha'>"
    + b"".join(b"<!ENTITY e%d '%s'>" % (i, b"&e%d;" % (i - 1) * 10) for i in range(1, 12))
    + b"]><R>&e11;</R>"
)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE R><R/>",
        b"<?xml version='1.0'?><!-- x --><!DOCTYPE R SYSTEM 'http://127.0.0.1:9/x.dtd'><R/>",
        b"<!DOCTYPE R PUBLIC 'p' 's'><R/>",
        b"<!DOCTYPE R [<!ENTITY f SYSTEM 'file:///etc/hostname'>]><R>&f;</R>",
        b"<!DOCTYPE R [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/x'>%p;]><R/>",
        b"<!DOCTYPE R [<!ENTITY a 'x'>]><R b='&a;'/>",
        b"<!DOCTYPE R [" + b"<!ELEMENT R ANY>" * 100_000 + b"]><R/>",
        BILLION_LAUGHS,
    ],
    ids=start,
)
def test_every_doctype_is_refused(body):
    """Whatever a DOCTYPE would declare, it is refused before it is read."""
    with pytest.raises(ServiceError, match="DOCTYPE") as refused:
        read(body)
    assert refused.value.code == "InvalidContent"


def test_depth():
    """The deepest nesting allowed is read, one level more is refused, and 100,000 cost no more than that."""
    assert read(b"<a>" * 8 + b"</a>" * 8, max_depth=8).name == "a"
    for levels in (9, 100_000):
        with pytest.raises(ServiceError, match="deeper than 8") as refused:
            read(b"<a>" * levels + b"</a>" * levels, max_depth=8)
        assert refused.value.code == "InvalidContent"


def test_size():
    """The largest body allowed is read, one byte more is refused with 413."""
    body = b"<a>" + b"x" * 93 + b"</a>"
    assert len(read(body, max_bytes=100).text) == 93
    assert refusal(body + b" ", max_bytes=100) == (413, "InvalidContent")


@pytest.mark.parametrize(
    "body",
    [
        b"<R a='" + b"x" * 4 * MEGABYTE + b"'>t</R>",
        b"<R " + b" ".join(b"a%d=''" % i for i in range(50_000)) + b">t</R>",
        b"<R><!--" + b"x" * 4 * MEGABYTE + b"-->t</R>",
        b"<R>" + b"<!---->" * 100_000 + b"t</R>",
    ],
    ids=start,
)
def test_bulk_that_is_no_content_leaves_no_trace(body):
    """Huge attributes and comments inside the size limit are skipped."""
    root = read(body)
    assert (root.text, root.children) == ("t", ())


@given(st.binary())
def test_anything_parses_or_is_refused(body):
    """No bytes raise anything but a refusal."""
    for candidate in (body, b"<R>" + body + b"</R>"):
        try:
            root = read(candidate)
        except ServiceError:
            continue
        assert root.name


def test_document():
    """Elements nest in the order given, numbers become digits, nothing becomes an empty element."""
    written = document("R", [("A", "<&>\"'"), ("B", [("C", 1), ("C", "中")]), ("D", ""), ("E", [])])
    assert written == (
        b"<?xml version='1.0' encoding='UTF-8'?>\n"
        b"<R><A>&lt;&amp;&gt;\"'</A><B><C>1</C><C>\xe4\xb8\xad</C></B><D/><E/></R>"
    )


@pytest.mark.parametrize("character", ["\0", "\x01", "\x1b", "\ud800", "\ufffe", "\uffff"])
def test_characters_xml_cannot_carry(character):
    """What XML 1.0 has no way to write becomes U+FFFD."""
    assert ET.fromstring(document("R", [("A", f"a{character}b")])).findtext("A") == "a\ufffdb"


def test_white_space_survives():
    """Tabs, line feeds and carriage returns of a key are read back as they were."""
    assert ET.fromstring(document("R", [("A", "a\t\n\rb")])).findtext("A") == "a\t\n\rb"


@given(st.text(st.characters()))
def test_any_text_is_written_well_formed(text):
    """Whatever the text, another parser and our own read the same back, up to characters XML cannot carry."""
    written = document("R", [("A", text)])
    ours, theirs = read(written).all("A")[0].text, ET.fromstring(written).findtext("A")
    assert ours == theirs
    assert len(ours) == len(text)
    assert all(b in (a, "\ufffd") for a, b in zip(text, ours, strict=True))
