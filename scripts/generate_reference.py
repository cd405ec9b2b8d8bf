"""Write the pages of docs/reference/ from the code they describe; ``--check`` only tells whether they are current."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

import left_out
from protocol_coverage import Part, load, sdk_calls
from sordino import errors
from sordino.api import operations
from sordino.api.admin.app import routes as admin_routes
from sordino.api.operation import About, Operation
from sordino.api.operations import (
    CALLBACK_OPERATIONS,
    CALLBACK_PATH,
    CI_OPERATIONS,
    COPIES,
    COS_OPERATIONS,
    SUB_OPERATIONS,
    Resource,
)
from sordino.cli import app
from sordino.domain import cmq_errors, sts_errors
from sordino.domain.cmq_errors import CmqErrorKind
from sordino.domain.conditions import KEYS, NULL_EQUAL, OPERATORS
from sordino.domain.job import KEEP, LOUDNESS_RANGE, STRENGTHS, AudioFormat, Channels
from sordino.domain.presets import PRESETS
from sordino.errors import ErrorKind
from sordino.settings import Settings

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE: Final = "<!-- Made by `make docs` from the code; changes here are lost. -->"

COVERAGE: Final = load()

# Defaults that depend on the machine, in words.
COMPUTED: Final[Mapping[str, str]] = {
    "data": "`/var/lib/sordino` as root, else `sordino` in the user's data directory (`~/.local/share` on Linux)",
    "workers": "number of cores",
    "denoiser": "`best` where the weights of all its networks are installed, else `dfn3`",
}
BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "pattern": "matches `{}`",
}
TARGETS: Final[Mapping[Resource, str]] = {
    Resource.SERVICE: "`/` of the service host",
    Resource.BUCKET: "`/{}` of a bucket host",
    Resource.OBJECT: "`/<key>{}` of a bucket host",
}

# What the operators of each kind compare.
COMPARED: Final[Mapping[str, str]] = {
    "string": "Texts; `like` knows `*` for any characters, `ignore_case` takes no account of case.",
    "ip": "An address with addresses and networks (`10.0.0.0/8`), IPv4 and IPv6; `::ffff:10.0.0.1` is `10.0.0.1`.",
    "numeric": "Numbers of at most 30 digits, and 30 behind a point; they may stand without quotes.",
    "date": "Times of ISO 8601, such as `2026-11-24T08:00:00Z` or `2026-11-24`; UTC, if they do not say otherwise.",
    "bool": "`true` and `false`, with quotes or without.",
    "binary": "Bytes, in base64.",
    "null": "`true` wants the key to be absent, `false` to be there.",
}
ABOUT: Final[Mapping[About, str]] = {
    About.ACCOUNT: "`*`",
    About.NEW_BUCKET: "`qcs::cos:<region>:uid/<APPID>:<bucket>/`",
    About.BUCKET: "`qcs::cos:<region>:uid/<APPID>:<bucket>/`",
    About.LIST: "`qcs::cos:<region>:uid/<APPID>:<bucket>/<prefix>`",
    About.OBJECT: "`qcs::cos:<region>:uid/<APPID>:<bucket>/<key>`",
    About.KEYS: "the same of each key",
    About.CI: "`qcs::ci:<region>:uid/<APPID>:bucket/<bucket>/*`",
}

# Elements of Request.Operation.NoiseReduction that the protocol does not have: values, default, meaning.
EXTENSIONS: Final[Mapping[str, tuple[str, str, str]]] = {
    "Format": (
        f"besides the protocol's: `{AudioFormat.FLAC}`, `{AudioFormat.OPUS}` (in Ogg)",
        f"`{AudioFormat.WAV}`",
        f"FLAC takes all the rates, Opus {', '.join(map(str, AudioFormat.OPUS.sample_rates))} Hz.",
    ),
    "Model": (
        "name of an installed engine",
        "`SORDINO_DENOISER`",
        "The engine that removes the noise; a name that is none is refused with the list of them.",
    ),
    "Strength": (
        f"whole number, {STRENGTHS[0]} to {STRENGTHS[-1]}, dB",
        f"`{STRENGTHS[-1]}`",
        f"The most that is taken from any sound: {STRENGTHS[0]} passes all through, {STRENGTHS[-1]} sets no limit.",
    ),
    "Channels": (
        f"`{Channels.MIX}` or `{Channels.KEEP}`",
        f"`{Channels.MIX}`",
        "One channel with what was heard in any, or all of them with one common gain.",
    ),
    "Loudness": (
        f"number, {LOUDNESS_RANGE[0]} to {LOUDNESS_RANGE[1]}, LUFS, at most two decimals; or `{KEEP}`",
        "as the engine gives it",
        f"Loudness of the result (EBU R128), its true peak at most -1 dBTP; `{KEEP}`: speech as loud as in the input.",
    ),
    "Video": (
        f"`{KEEP}`, with Format `{AudioFormat.M4A}` only",
        "no video",
        "Carry the input's video stream over untouched.",
    ),
}

ACTIONS_TEXT: Final = (
    "Calls with the header `x-cos-acl` need the action in brackets, too. `POST /jobs` also needs `cam:PassRole` on "
    "`qcs::cam::uin/<uin>:roleName/CI_QCSRole`, and copies need `cos:GetObject` of their source. The queues "
    "of a bucket are the same under `/asrqueue`, `/queue`, `/ai_queue` and `/picqueue`: one of the four actions is "
    "enough at its own path, and who is denied one of them is denied all. The actions of message queues are "
    "`cmqqueue:<Action>` and `cmqtopic:<Action>`, as the client names them."
)
ADMIN_TEXT: Final = (
    "What `sordino admin` does, over HTTP; [Use the admin API](../how-to/use-the-admin-api.md) tells how to begin. "
    "`GET /openapi.json` answers everybody with its document of itself (OpenAPI 3.1), which has every field, limit and "
    "reply; this page is made from it. What is sent in bold cannot be left out. Of its token a call may need that it "
    "is not read-only (`change`), or not for one account alone (`all accounts`)."
)
EXTENSIONS_TEXT: Final = (
    "These elements of `Operation.NoiseReduction` are our choice: the protocol does not have them. Each may be left "
    "out, and what is sent is echoed. [Choose the sound](../how-to/choose-the-sound.md) shows them at work."
)
SDK_TEXT: Final = (
    "Calls of the official SDKs that the tests drive against a running server, by the way the SDK is pointed at it. "
    "*Refused* are calls of other products, *impossible* those whose request does not say what it means in that way. "
    "Of Go, Java and PHP the tests send the exact requests."
)
QUALITY_TEXT: Final = (
    "Our choice, too, is `Operation.MediaResult.Quality` in the reply of a job that succeeded, beside the `MediaInfo` "
    "and `MediaResult.OutputFile` of the media jobs. `Dereverb` is refused with `NotImplemented`: it is not offered."
)


def settings_page() -> str:
    """The settings: name, type, default, what it is."""
    properties = Settings.model_json_schema()["properties"]
    rows = [
        (f"`SORDINO_{name.upper()}`", _type(schema), _default(name, schema), schema["description"])
        for name, schema in properties.items()
    ]
    return _page(
        "Settings",
        "Every setting is an environment variable; the options of the command line win over it. "
        "A value of the wrong type or out of range stops the program with a message that names it.",
        _table(("Variable", "Type", "Default", "Meaning"), rows),
    )


def _type(schema: Mapping[str, Any]) -> str:
    """The type with its bounds, in words."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    kind = {**schema, **kinds[0]}
    if "enum" in kind:
        return " or ".join(f"`{value}`" for value in kind["enum"])
    name = {"path": "path", "password": "string (secret)"}.get(kind.get("format", ""), kind["type"])
    return ", ".join([name, *(text.format(kind[bound]) for bound, text in BOUNDS.items() if bound in kind)])


def _default(name: str, schema: Mapping[str, Any]) -> str:
    if name in COMPUTED:
        return COMPUTED[name]
    default = schema["default"]
    return "none" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"


def errors_page() -> str:
    """The error catalogue, by HTTP status and code."""
    kinds = {name: value for name, value in vars(errors).items() if isinstance(value, ErrorKind)}
    occurrences = COVERAGE.errors
    rows = [
        (str(kind.status), f"`{kind.code}`", kind.message.replace("<", "&lt;"), occurrences[name].where)
        for name, kind in sorted(kinds.items(), key=lambda pair: (pair[1].status, pair[1].code, pair[1].message))
    ]
    return _page(
        "Errors",
        "What the service refuses with. The codes are those of Cloud Infinite and COS; most messages say more than the "
        "one given here. A job that fails carries such a code and message in `Code` and `Message` of its reply. "
        "`InternalError` and `ServiceUnavailable` alone are the server's fault.",
        "\n\n".join(
            (
                _table(("HTTP status", "Code", "Message", "Where"), rows),
                "These codes of the vendor's tables never occur:",
                _table(("Code", "Why"), [(f"`{code}`", why) for code, why in COVERAGE.unused.items()]),
                "The calls of message queues at `/v2/index.php` are refused with CMQ's codes, in JSON of status 200:",
                _table(("Code", "Message"), [(str(kind.code), kind.message) for kind in _cmq_kinds()]),
                "Those of STS, which gives temporary keys out, with codes of the cloud's API, in JSON of status 200:",
                _table(("Code", "Message"), [(f"`{kind.code}`", kind.message) for kind in _sts_kinds()]),
            )
        ),
    )


def _cmq_kinds() -> list[CmqErrorKind]:
    return sorted((it for it in vars(cmq_errors).values() if isinstance(it, CmqErrorKind)), key=attrgetter("code"))


def _sts_kinds() -> list[ErrorKind]:
    return sorted((it for it in vars(sts_errors).values() if isinstance(it, ErrorKind)), key=attrgetter("code"))


def cli_page() -> str:
    """The commands, with their arguments and options."""
    root = typer.main.get_group(app)
    sections = [_command_section(path, command) for path, command in _commands("sordino", root)]
    return _page("Command line", _joined(root.help), "\n\n".join(sections))


def _commands(path: str, group: TyperGroup) -> Iterable[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(f"{path} {name}", command)
        elif isinstance(command, TyperCommand):
            yield f"{path} {name}", command


def _command_section(path: str, command: TyperCommand) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    options = [parameter for parameter in command.params if isinstance(parameter, TyperOption) and not parameter.hidden]
    usage = " ".join([path, *(_metavar(argument) for argument in arguments), *(["[OPTIONS]"] if options else [])])
    rows = [(f"`{_metavar(argument)}`", _meaning(argument)) for argument in arguments]
    rows += [(_list(option.opts), _meaning(option)) for option in options]
    paragraphs = [f"## `{path}`", f"    {usage}", _joined(command.help)]
    return "\n\n".join([*paragraphs, *([_table(("Argument or option", "Meaning"), rows)] if rows else [])])


def _metavar(argument: TyperArgument) -> str:
    return str(argument.metavar or argument.name).upper()


def _meaning(parameter: TyperArgument | TyperOption) -> str:
    text = _joined(parameter.help)
    text += "" if text.endswith((".", "]")) else "."
    shown = parameter.default is not None and not isinstance(parameter.default, bool) and not parameter.required
    if not shown:
        return text
    return f"{text} Default: {COMPUTED.get(parameter.name or '', f'`{parameter.default}`')}."


def _joined(text: str | None) -> str:
    """Help text with the lines of each paragraph joined."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text or ""))


def coverage_page() -> str:
    """Which calls of the protocol are answered, and what becomes of each element, parameter and header."""
    ci = [
        (f"`{operation.name}`", f"`{operation.method}`", _addresses(path.pattern), _answered(operation))
        for path, found in (*CI_OPERATIONS, (CALLBACK_PATH, CALLBACK_OPERATIONS))
        for operation in found
    ]
    cos = [
        (
            f"`{operation.name}`",
            f"`{operation.method}`",
            TARGETS[resource].format(query and f"?{query}"),
            _answered(operation),
        )
        for resource in COS_OPERATIONS
        for query, found in {"": COS_OPERATIONS[resource], **SUB_OPERATIONS[resource]}.items()
        for operation in (*found, *(COPIES[it.name] for it in found if it.name in COPIES))
    ]
    heads = ("Call", "Method", "Address", "Answered")
    return _page(
        "API coverage",
        "*Not yet* and *later* mean that the call or element is known and refused with `NotImplemented` (501), or as "
        "the row says, and a message. Elements that the protocol does not know are ignored. The last column names the "
        "test that drives it.",
        "\n\n".join(
            (
                _summary(),
                "## Cloud Infinite",
                _table(heads, ci),
                "## COS",
                _table(heads, cos),
                "[What is left out](left-out.md) has a page of its own.",
                *(_part_section(part) for part in COVERAGE.parts),
                "## Extensions of a job",
                EXTENSIONS_TEXT,
                _table(("Element", "Values", "Default", "Meaning"), _extension_rows()),
                QUALITY_TEXT,
            )
        ),
    )


def policies_page() -> str:
    """What policies are written with: actions of calls, operators, condition keys, presets."""
    kinds: dict[str, list[str]] = {}
    for name in (*OPERATORS, NULL_EQUAL):
        kinds.setdefault(name.partition("_")[0], []).append(name)
    return _page(
        "Tables of policies",
        "What [policies](policies.md) are written with.",
        "\n\n".join(
            (
                "## Actions of calls",
                ACTIONS_TEXT,
                _table(("Call", "Action", "Resource"), _action_rows()),
                "## Operators of conditions",
                _table(
                    ("Operators", "They compare"), [(_list(names), COMPARED[kind]) for kind, names in kinds.items()]
                ),
                "## Condition keys",
                _table(("Key", "Value"), [(f"`{key}`", meaning) for key, meaning in KEYS.items()]),
                "## Preset policies",
                _table(("Policy", "It allows", "With"), [row for name in PRESETS for row in _preset_rows(name)]),
            )
        ),
    )


def _action_rows() -> Iterable[Sequence[str]]:
    found = [
        *(operation for _, of_path in CI_OPERATIONS for operation in of_path),
        *CALLBACK_OPERATIONS,
        *(operation for of_resource in COS_OPERATIONS.values() for operation in of_resource),
        *(
            operation
            for by_query in SUB_OPERATIONS.values()
            for of_query in by_query.values()
            for operation in of_query
        ),
        *COPIES.values(),
    ]
    for operation in {(operation.name, operation.action): operation for operation in found}.values():
        more = "" if operation.acl_action is None else f" (`{operation.acl_action}`)"
        yield f"`{operation.name}`", f"`{operation.action}`{more}", ABOUT[operation.about]


def _preset_rows(name: str) -> Iterable[Sequence[str]]:
    for number, statement in enumerate(json.loads(PRESETS[name].document)["statement"]):
        yield "" if number else f"`{name}`", _list(statement["action"]), f"`{statement['resource']}`"


def left_out_page() -> str:
    """What of COS is left out, and the refusal that each gets."""
    return _page(
        "What of COS is left out",
        "Each of these is refused with the status and code that its table tells, and a message; it is never taken for "
        "another call, and what is stored stays as it is. SDKs try again after a 501, so that the refusal comes after "
        "some seconds. A header that is empty counts as absent.",
        "\n\n".join(_left_out_section(part) for part in left_out.PARTS),
    )


def _left_out_section(part: left_out.Part) -> str:
    rows = [(f"`{row.name}`", row.purpose, row.instead, f"{row.status} `{row.code}`") for row in part.rows]
    head = "Header" if part.rows[0].is_header else "Call"
    return f"## {part.title}\n\n" + _table((head, "For", "Instead", "Refusal"), rows)


def _summary() -> str:
    """How much of the protocol is there, in numbers."""
    rows, calls = COVERAGE.rows, sdk_calls()
    figures = [
        (row.sdk, row.mode, str(row.driven), str(row.refused), str(row.impossible), str(row.total))
        for row in calls.figures()
    ]
    return "\n\n".join(
        (
            f"Elements, parameters and headers covered: {sum(row.covered for row in rows)} of {len(rows)}.",
            SDK_TEXT,
            _table(("SDK", "Addressing", "Driven", "Refused", "Impossible", "Of"), figures),
        )
    )


def _part_section(part: Part) -> str:
    rows = [(_code(row.name), row.deed, row.origin.words, _test_link(row.test)) for row in part.rows]
    heading = part.title.replace("<", "&lt;")
    return f"## {heading}\n\n" + _table((*part.heads, "Origin", "Test"), rows)


def _code(name: str) -> str:
    """A list of names as code; words for people as they are."""
    plain = re.fullmatch(r"[\w.*?-]+(, [\w.*?-]+)*", name) and " " not in name.replace(", ", "")
    return _list(name.split(", ")) if plain else name


def _test_link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[`{name}`](../../tests/{file})"


def _extension_rows() -> Iterable[Sequence[str]]:
    return [(f"`{name}`", *described) for name, described in EXTENSIONS.items()]


def _answered(operation: Operation) -> str:
    return "not yet" if operation.handler is operations.not_yet else "yes"


def _addresses(pattern: str) -> str:
    """The paths that a regular expression of the table stands for."""
    path = pattern.replace("[^/]+", "<id>")
    choice = re.fullmatch(r"/\(\?:(?P<names>[^)]+)\)(?P<rest>.*)", path)
    return _list(f"/{name}{choice['rest']}" for name in choice["names"].split("|")) if choice else f"`{path}`"


def _list(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(f"`{prefix}{name}`" for name in names)


def _page(title: str, introduction: str, body: str) -> str:
    return f"{MADE}\n\n# {title}\n\n{introduction}\n\n{body}\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def admin_api_page() -> str:
    """The calls of the admin API, by what they are about, of its own OpenAPI document."""
    document = admin_routes().openapi()
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            sections.setdefault(call["tags"][0], []).append(
                (
                    f"`{method.upper()} {path}`",
                    _joined(call["description"]).replace("\n\n", " "),
                    _sent(document, call),
                    _list(call["security"][0]["token"]),
                )
            )
    heads = ("Call", "What it does", "What is sent", "Needs of its token")
    return _page(
        "Admin API",
        ADMIN_TEXT,
        "\n\n".join(f"## {tag.capitalize()}\n\n{_table(heads, rows)}" for tag, rows in sections.items()),
    )


def _sent(document: Mapping[str, Any], call: Mapping[str, Any]) -> str:
    """Parameters of the query, and fields of the body; those that must be sent stand in bold."""
    query = [parameter for parameter in call.get("parameters", []) if parameter["in"] == "query"]
    parts = [f"query: {_list(parameter['name'] for parameter in query)}"] if query else []
    if "requestBody" in call:
        schema = call["requestBody"]["content"]["application/json"]["schema"]
        parts.append(
            _body(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
            if "$ref" in schema
            else "the policy"
        )
    return "; ".join(parts)


def _body(schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    return ", ".join(f"**`{name}`**" if name in needed else f"`{name}`" for name in schema["properties"])


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "cli.md": cli_page,
    "api-coverage.md": coverage_page,
    "left-out.md": left_out_page,
    "policy-tables.md": policies_page,
    "admin-api.md": admin_api_page,
}


def stale(directory: Path = DIRECTORY) -> list[Path]:
    """The pages that are missing or say something other than the code does."""
    paths = {directory / name: make() for name, make in PAGES.items()}
    return [path for path, text in paths.items() if not path.is_file() or path.read_text("utf-8") != text]


def write(directory: Path = DIRECTORY) -> None:
    """Write all pages."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (directory / name).write_text(make(), "utf-8")


def main() -> int:
    """Write the pages, or check them; the exit status."""
    parser = argparse.ArgumentParser(description="Write the generated reference pages.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    if not parser.parse_args().check:
        write()
        return 0
    for path in (outdated := stale()):
        print(f"docs/reference/{path.name} is out of date. Run: make docs", file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
