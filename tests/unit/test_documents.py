"""What the documents say is true: pages made from code are current, links lead somewhere, examples are Python."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from generate_reference import COVERAGE, EXTENSIONS, PAGES, stale, write
from sordino.errors import INVALID_ARGUMENT, NOT_IMPLEMENTED, ServiceError
from sordino.wire.job_request import parse_job

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s+(?P<target>\S+)", re.MULTILINE)
FENCE = re.compile(r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"\bmake (?P<target>[a-z][a-z-]*)")
SOURCE = re.compile(r"`(?P<path>(?:src|scripts|tests|docs)/[\w./-]+)`")

# Elements of POST /jobs that are refused whatever they hold.
NOT_OFFERED = [row.name for row in COVERAGE.part("submit").rows if row.deed.endswith(": refused with `NotImplemented`")]
MODELS = ("best", "dfn3", "off")
OUTPUT = "<Output><Region>ap-guangzhou</Region><Bucket>b-1250000000</Bucket><Object>b.wav</Object></Output>"


def names(path: Path) -> str:
    """The path as seen from the repository's root."""
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """The document without its code blocks."""
    return FENCE.sub("", path.read_text("utf-8"))


def commands(path: Path) -> Iterator[str]:
    """The document's shell examples and inline code."""
    text = path.read_text("utf-8")
    yield from (match["text"] for match in FENCE.finditer(text) if match["language"] == "sh")
    yield from re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def anchors(path: Path) -> set[str]:
    """What links may name after the #."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_there_are_documents():
    """The search for documents finds those a newcomer needs."""
    found = {names(path) for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/index.md"} <= found


def test_decisions_are_listed():
    """The first decision, which the index leads to, links all others under their titles."""
    first, *others = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    titles = [(page.read_text("utf-8").partition("\n")[0].removeprefix("# "), page.name) for page in others]
    assert re.findall(r"^- \[(.+)\]\((.+)\)$", first.read_text("utf-8"), re.MULTILINE) == titles


@pytest.mark.parametrize("page", PAGES)
def test_reference_page_is_current(page):
    """A page made from the code says what the code says; `make docs` mends it."""
    assert page not in [path.name for path in stale()], "run: make docs"


def test_stale_pages_are_noticed(tmp_path):
    """A page that was changed by hand or is missing counts as out of date."""
    write(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "settings.md").write_text("changed")
    (tmp_path / "cli.md").unlink()
    assert [path.name for path in stale(tmp_path)] == ["settings.md", "cli.md"]


def test_reference_does_not_depend_on_the_machine(tmp_path, monkeypatch):
    """Cores, home directory and settings of the machine leave no trace in the pages."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SORDINO_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("os.cpu_count", lambda: 77)
    pages = [make() for make in PAGES.values()]
    assert not any(str(tmp_path) in page or "77" in page for page in pages)
    assert not any(f"efault: `{engine}`." in page or f"| `{engine}` |" in page for engine in MODELS for page in pages)


@pytest.mark.parametrize("path", NOT_OFFERED)
def test_elements_said_to_be_refused_are_refused(path):
    """An element of POST /jobs that the coverage page calls not offered is refused so, and not ignored."""
    parts = {"Input": "<Object>a.wav</Object>", "Operation": OUTPUT, "Operation.NoiseReduction": "", "": ""}
    parent, _, name = path.rpartition(".")
    parts[parent] += f"<{name}>http://hooks.example/</{name}>"
    operation = f"{parts['Operation']}<NoiseReduction>{parts['Operation.NoiseReduction']}</NoiseReduction>"
    body = (
        f"<Request><Tag>NoiseReduction</Tag><Input>{parts['Input']}</Input>"
        f"<Operation>{operation}</Operation>{parts['']}</Request>"
    )
    with pytest.raises(ServiceError) as refusal:
        parse_job(body.encode(), MODELS)
    assert refusal.value.code == NOT_IMPLEMENTED.code


def test_some_elements_are_said_to_be_refused():
    """The search for them finds those that are known to be."""
    assert {"Input.Url", "CallBackKafkaConfig"} <= set(NOT_OFFERED)


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extensions_are_told(name):
    """An element of ours is in the coverage page and the how-to, and a wrong value of it is refused, not ignored."""
    order = f"<NoiseReduction><{name}>wrong</{name}></NoiseReduction>"
    body = (
        "<Request><Tag>NoiseReduction</Tag><Input><Object>a.wav</Object></Input>"
        f"<Operation>{OUTPUT}{order}</Operation></Request>"
    )
    with pytest.raises(ServiceError, match=f"NoiseReduction.{name} is 'wrong'; use ") as refusal:
        parse_job(body.encode(), MODELS)
    assert refusal.value.code == INVALID_ARGUMENT.code
    assert f"| `{name}` |" in PAGES["api-coverage.md"]()
    assert f"| `{name}` |" in (ROOT / "docs/how-to/choose-the-sound.md").read_text("utf-8")


def test_elements_that_the_protocol_does_not_know_are_ignored():
    """What the coverage page says of unknown elements is so."""
    body = (
        "<Request><Tag>NoiseReduction</Tag><Colour>red</Colour><Input><Object>a.wav</Object></Input>"
        f"<Operation>{OUTPUT}</Operation></Request>"
    )
    plain = body.replace("<Colour>red</Colour>", "")
    assert parse_job(body.encode(), MODELS) == parse_job(plain.encode(), MODELS)
    assert "Elements that the protocol does not know are ignored." in PAGES["api-coverage.md"]()


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_relative_links_lead_somewhere(document):
    """Every link within the repository names a file that is there, and a heading of it."""
    text = prose(document)
    targets = [match["target"] for pattern in (LINK, REFERENCE) for match in pattern.finditer(text)]
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{names(document)} links to {target}"
        assert not anchor or anchor in anchors(path), f"{names(document)} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_named_files_exist(document):
    """Every path of the repository that a document names is there."""
    missing = [match["path"] for match in SOURCE.finditer(prose(document)) if not (ROOT / match["path"]).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_make_targets_exist(document):
    """Every `make` target that a document names is one of the Makefile's."""
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {match["target"] for text in commands(document) for match in MAKE.finditer(text)}
    assert named <= known


def test_every_make_target_is_explained():
    """`make help` has a line for every target that is not a file."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_help_says_how_to_choose_the_python():
    """`make help` and the README name the variable that chooses the interpreter."""
    told = subprocess.run(["make", "-s", "-C", ROOT, "help"], check=True, capture_output=True, text=True).stdout
    assert "PYTHON=python3.12" in told
    assert "PYTHON=python3.12" in (ROOT / "README.md").read_text("utf-8")


def test_what_make_installs_has_hashes():
    """No target installs a package without its hash, and what `make lock` and setup run with is pinned."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    installs = [line for line in makefile.splitlines() if re.match(r"\t.*(\$\(PIP\)|pip install)", line)]
    assert [line for line in installs if "--require-hashes" not in line] == ["\t$(PIP) --editable ."]
    assert re.search(r"^uv==", (ROOT / "requirements/dev.lock").read_text("utf-8"), re.MULTILINE)
    assert re.search(r"^wheel==", (ROOT / "requirements/build.lock").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_python_examples_compile(document):
    """Every Python example is Python."""
    for number, match in enumerate(FENCE.finditer(document.read_text("utf-8"))):
        if match["language"] == "python":
            compile(match["text"], f"{names(document)}, block {number + 1}", "exec")


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_named_settings_exist(document):
    """Every `SORDINO_...` variable that a document names is a setting, in the root key's file, or read by a command."""
    known = set(re.findall(r"`(SORDINO_\w+)`", (ROOT / "docs/reference/settings.md").read_text("utf-8")))
    known |= {"SORDINO_APPID", "SORDINO_UIN", "SORDINO_SECRET_ID", "SORDINO_SECRET_KEY", "SORDINO_MOUNT_SECRET"}
    assert set(re.findall(r"\bSORDINO_[A-Z_]+", document.read_text("utf-8"))) <= known


def test_every_document_is_in_the_index():
    """From the index every page of the documentation can be reached."""
    seen, waiting = set(), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        linked = {(page.parent / match["target"].partition("#")[0]).resolve() for match in LINK.finditer(prose(page))}
        waiting += [path for path in linked if path.suffix == ".md" and path.exists() and path not in seen]
    assert {path for path in DOCUMENTS if "docs" in path.parts} <= seen


def test_continuous_integration_runs_the_documented_commands():
    """What CI runs is what the README tells a newcomer to run."""
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "make test" in script
    assert "make check" in script
    assert shutil.which(str(ROOT / ".ci" / "run")), "it must be executable"
