"""The coverage page tells of everything: what the code reads and writes, and what the protocol has, is in its data."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from generate_reference import PAGES
from protocol_coverage import ROOT, TESTS, load, sdk_calls
from sordino import errors
from sordino.api.object_headers import NOT_YET
from sordino.api.operations import SUBRESOURCES
from sordino.errors import ErrorKind

COVERAGE = load()
SOURCE = ROOT / "src" / "sordino"
PROTOCOL = ROOT.parent / "shared" / "spec" / "protocol.md"

# Methods of `Part` and `Query` that read a child or a parameter by its name.
OF_PART = {"find", "container", "need", "word", "checked", "need_checked", "choice", "need_choice", "whole", "refuse"}
OF_QUERY = {"get", "choice", "whole", "words"}
# The parts of the data in which a module's elements and parameters stand.
PARTS = {
    "job_request": ("submit",),
    "order": ("submit", "template"),
    "notify": ("submit", "queue"),
    "templates": ("template", "template-query"),
    "queues": ("queue", "queue-query"),
    "job_query": ("list",),
    "paging": ("template-query", "queue-query", "service"),
    "services": ("service",),
    "buckets": ("cos-bucket",),
    "acl": ("cos-acl",),
    "cors": ("cos-cors",),
    "upload_requests": ("cos-uploads",),
}
# Sections of the protocol whose tables of elements and parameters must be covered, and where.
SECTIONS = {
    "1": ("submit", "jobs-detail"),
    "2": ("list", "describe", "cancel"),
    "3": ("template", "template-query"),
    "4": ("queue", "service"),
}
WORD = re.compile(r"[A-Za-z][\w-]*")


def words(*parts: str) -> set[str]:
    """The last steps of all names of those parts."""
    return {word for part in parts for row in COVERAGE.part(part).rows for word in WORD.findall(row.name)}


def told() -> set[str]:
    """Every word of the data."""
    texts = [f"{row.name} {row.deed}" for row in COVERAGE.rows]
    return set(WORD.findall(" ".join(texts)))


def calls(path: Path) -> Iterator[ast.Call]:
    """The calls of a module."""
    return (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))


def read_by(path: Path) -> set[str]:
    """The names of the elements and parameters that a module reads."""
    return {name for call in calls(path) if (name := _name_read(call)) is not None}


def _name_read(call: ast.Call) -> str | None:
    """The name, where the call reads something by it."""
    constants = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    match call.func:
        case ast.Attribute(attr=method, value=receiver) if isinstance(call.args[:1] and call.args[0], ast.Constant):
            known = OF_QUERY if ast.unparse(receiver).endswith("query") else OF_PART
            return str(constants[0]) if method in known and _reads(receiver) else None
        case ast.Name() if [ast.unparse(argument) for argument in call.args[:1]] == ["query"] and constants:
            return str(constants[0])
    return None


def _reads(receiver: ast.expr) -> bool:
    """Whether it is called as the code calls queries and parts of bodies."""
    return ast.unparse(receiver) in {"query", "call.query", "part", "request", "config", "operation"}


MODULES = {path.stem: path for room in ("wire", "api") for path in (SOURCE / room).glob("*.py")}
READERS = {name: found for name, path in MODULES.items() if (found := read_by(path))}


def test_readers_are_found():
    """The search finds what is known to be read."""
    assert {"Tag", "QueueId", "QueueType", "Input", "Output", "JobLevel", "Region"} <= READERS["job_request"]
    assert {"states", "orderByTime", "size", "nextToken", "startCreationTime", "tag"} <= READERS["job_query"]
    assert {"pageNumber", "pageSize"} <= READERS["paging"]
    assert {"max-keys", "encoding-type", "region"} <= READERS["buckets"]


@pytest.mark.parametrize("module", READERS)
def test_what_is_read_has_a_row(module):
    """Each element and parameter that the code reads is in the data, in each call that reads it."""
    assert module in PARTS, f"{module} reads {READERS[module]}: say in PARTS which parts of the data tell of them"
    for part in PARTS[module]:
        elsewhere = words(*(other for other in PARTS[module] if other != part))
        assert READERS[module] <= words(part) | elsewhere


def test_what_is_written_is_told():
    """Each element of a reply is in the data."""
    names = {name for path in (SOURCE / "wire").glob("*.py") for name in written_by(path)}
    assert {"JobsDetail", "CreationTime", "NonExistPIDs", "CodecName", "Snr"} <= names
    assert names <= told() | set(WORD.findall(" ".join(part.title for part in COVERAGE.parts)))


def written_by(path: Path) -> Iterator[str]:
    """The names of the elements that a module writes: first of a pair, or key of a dictionary."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        pair = isinstance(node, ast.Tuple) and len(node.elts) == 2 and ast.unparse(node.elts[1]) != "..."
        for name in [node.elts[0]] if pair else node.keys if isinstance(node, ast.Dict) else ():
            if isinstance(name, ast.Constant) and re.fullmatch(r"[A-Z]+[A-Za-z0-9]*", str(name.value)):
                yield str(name.value)


@pytest.mark.parametrize("name", [*NOT_YET, "x-cos-acl", "x-cos-meta-*", "x-cos-storage-class"])
def test_headers_have_rows(name):
    """Each header that an upload may have is in the data."""
    rows = (*COVERAGE.part("cos-put").rows, *COVERAGE.part("cos-copy").rows)
    assert any(name in row.name.split(", ") for row in rows)


def test_sub_resources_are_told():
    """Each query name that would make another call of a request is on a page: of what is there, or of what is not."""
    pages = PAGES["api-coverage.md"]() + PAGES["left-out.md"]()
    assert [name for name in SUBRESOURCES - {"partNumber"} if f"?{name}" not in pages] == []


def test_each_error_has_a_row():
    """Each error of the catalogue, and none besides, says where it occurs."""
    kinds = {name for name, value in vars(errors).items() if isinstance(value, ErrorKind)}
    assert set(COVERAGE.errors) == kinds
    assert all(occurrence.where for occurrence in COVERAGE.errors.values())


def test_errors_that_never_occur_are_none_of_the_catalogue():
    """What the page says of them is so."""
    codes = {value.code for value in vars(errors).values() if isinstance(value, ErrorKind)}
    assert not codes & set(COVERAGE.unused)


def test_named_tests_exist():
    """Each test that the data names is there."""
    missing = [test for test in COVERAGE.tests if test.partition("::")[2] not in _tests_of(test.partition("::")[0])]
    assert missing == []


def _tests_of(file: str) -> set[str]:
    """The names of the tests of a file, of those in classes, too."""
    path = TESTS / file
    tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.Module([], [])
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_rows_are_whole():
    """Each row says what is done, and none stands twice in its part."""
    for part in COVERAGE.parts:
        names = [row.name for row in part.rows]
        assert len(names) == len(set(names)), part.id
        assert all(row.deed and "|" not in row.deed for row in part.rows), part.id


def test_counts_are_on_the_page():
    """The page begins with what is covered, and with the calls of the SDKs that the tests drive."""
    page = PAGES["api-coverage.md"]()
    covered = [row for row in COVERAGE.rows if row.covered]
    assert f"covered: {len(covered)} of {len(COVERAGE.rows)}." in page
    figures = sdk_calls().figures()
    assert all(f"| {row.sdk} | {row.mode} | {row.driven} |" in page for row in figures)


def test_what_comes_later_does_not_count():
    """A row that says "later" or "not offered", at its beginning or after a semicolon, is not covered."""
    covered = {row.name: row.covered for part in ("submit", "cos-put") for row in COVERAGE.part(part).rows}
    assert covered["Tag"]
    assert not covered["Input.Url"]
    assert covered["CallBackMqConfig"]
    assert not covered["CallBackKafkaConfig"]
    assert covered["x-cos-acl"]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_protocol_is_covered(section):
    """Each element and parameter in the tables of the protocol's reference has a row."""
    if not PROTOCOL.is_file():
        pytest.skip("the reference of the protocol is not part of this checkout")
    names = set(_tabled(PROTOCOL.read_text("utf-8"), section))
    assert len(names) >= 5
    assert names <= words(*SECTIONS[section])


def _tabled(text: str, section: str) -> Iterator[str]:
    """The names in the first column of a section's tables of elements and parameters."""
    body = re.search(rf"^## {section}\. .*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert body is not None
    wanted = False
    for line in body[0].splitlines():
        if not line.startswith("|"):
            wanted = False
            continue
        first = re.sub(r"\(.*?\)|`", "", line.split("|")[1])
        if re.match(r"\s*(element|query|Response)", first):
            wanted = True
        elif wanted and "---" not in first:
            yield from (WORD.findall(name)[-1] for name in re.split(r"[/,]", first) if WORD.search(name))
