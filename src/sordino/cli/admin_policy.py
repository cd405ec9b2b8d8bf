"""``sordino admin policy``: what users, groups and roles of an account may do, and why a call is refused."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sordino.cli.administer import Appid, Yes, confirm, in_account, show
from sordino.cli.operate import Data, Json, JsonArray
from sordino.cli.start import fail

if TYPE_CHECKING:
    from sordino.cam.simulate import Simulated, Who
    from sordino.domain.identity import Policy, Target

NONE: Final = "The account has no policies of its own; `sordino admin policy presets` lists those that every one has."
NO_TARGETS: Final = "It is attached to nothing."
MAX_BYTES: Final = 64 * 1024
DENIED: Final = 1
"""Exit status of a simulation whose call is refused."""

Name = Annotated[str, typer.Argument(help="Name of the policy.", metavar="POLICY")]
Document = Annotated[str, typer.Option("--file", "-f", help="File with the document, JSON; `-`: standard input.")]
User = Annotated[str | None, typer.Option(help="Name of a user.")]
Group = Annotated[str | None, typer.Option(help="Name of a group.")]
Role = Annotated[str | None, typer.Option(help="Name of a role.")]

policy_app = typer.Typer(
    help="What users, groups and roles may do, and why a call is refused. The service must be running.",
    no_args_is_help=True,
)


@policy_app.command("put")
def put_policy(
    policy: Name,
    file: Document,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    account: Appid = None,
    data: Data = None,
) -> None:
    """Write a policy, new or in place of the one of that name. It holds for the next call."""
    document = read_document(file)
    in_account(
        data,
        account,
        lambda it, operator, appid: it.policies.put(operator, appid, policy, document, description=description),
    )


@policy_app.command("list")
def list_policies(account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """List the policies that an account wrote."""
    policies = in_account(data, account, lambda it, _, appid: it.policies.every(appid))
    show([_row(policy) for policy in policies], as_json=as_json, none=NONE)


@policy_app.command("presets")
def list_presets(as_json: JsonArray = False) -> None:
    """List the policies that every account has."""
    from sordino.domain.presets import PRESETS

    show([{"policy": it.name, "document": it.document} for it in PRESETS.values()], as_json=as_json, none=NONE)


@policy_app.command("show")
def show_policy(policy: Name, account: Appid = None, data: Data = None) -> None:
    """Print the document of a policy of the account, or of a preset."""
    found = in_account(data, account, lambda it, _, appid: it.policies.get(appid, policy))
    print_document(found.document)


@policy_app.command("remove")
def remove_policy(policy: Name, account: Appid = None, yes: Yes = False, data: Data = None) -> None:
    """Remove a policy that is attached to nothing."""
    confirm(f"Remove the policy {policy}?", yes=yes)
    in_account(data, account, lambda it, operator, appid: it.policies.remove(operator, appid, policy))


@policy_app.command("attach")
def attach_policy(
    policy: Name, user: User = None, group: Group = None, role: Role = None, account: Appid = None, data: Data = None
) -> None:
    """Attach a policy of the account, or a preset, to a user, a group or a role. It holds for the next call."""
    target = _target(user, group, role)
    in_account(data, account, lambda it, operator, appid: it.policies.attach(operator, appid, policy, target))


@policy_app.command("detach")
def detach_policy(
    policy: Name, user: User = None, group: Group = None, role: Role = None, account: Appid = None, data: Data = None
) -> None:
    """Take a policy away from a user, a group or a role. It holds for the next call."""
    target = _target(user, group, role)
    in_account(data, account, lambda it, operator, appid: it.policies.detach(operator, appid, policy, target))


@policy_app.command("attached")
def list_attached(
    user: User = None,
    group: Group = None,
    role: Role = None,
    account: Appid = None,
    as_json: JsonArray = False,
    data: Data = None,
) -> None:
    """List the policies that are attached to a user, a group or a role itself."""
    target = _target(user, group, role)
    names = in_account(data, account, lambda it, _, appid: it.policies.attached(appid, target))
    show([{"policy": name} for name in names], as_json=as_json, none="Nothing is attached to it.")


@policy_app.command("targets")
def list_targets(policy: Name, account: Appid = None, as_json: JsonArray = False, data: Data = None) -> None:
    """List what a policy is attached to."""
    targets = in_account(data, account, lambda it, _, appid: it.policies.targets(appid, policy))
    show([{"kind": str(it.kind), "name": it.name} for it in targets], as_json=as_json, none=NO_TARGETS)


@policy_app.command("simulate")
def simulate(
    *,
    action: Annotated[str, typer.Option(help="What the call does, such as `cos:GetObject`.")],
    resource: Annotated[
        str,
        typer.Option(
            help="What it does it to: `qcs::cos:ap-guangzhou:uid/1250000000:music-1250000000/in/talk.wav`, `*`, or, "
            "of objects, `music-1250000000/in/talk.wav` for short."
        ),
    ],
    user: User = None,
    role: Role = None,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Somebody who does not sign.")] = False,
    context: Annotated[
        list[str] | None,
        typer.Option(help="A condition key, such as `qcs:ip=10.0.0.7`; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    account: Appid = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Say whether a user, a role, somebody unsigned or, if none is given, the root may do something, and why.

    It exits with 0 when the call is allowed and with 1 when it is not. The policy of the bucket counts, too.
    """
    who, keys = _who(user, role, anonymous=anonymous), _context(context or [])
    found = in_account(
        data, account, lambda it, _, appid: it.simulate(appid, who, action=action, resource=resource, context=keys)
    )
    _show_decision(found, as_json=as_json)
    raise typer.Exit(0 if found.decision.allowed else DENIED)


def _show_decision(found: "Simulated", *, as_json: bool) -> None:
    decision = found.decision
    statement = None if found.statement is None else json.loads(found.statement)
    if as_json:
        row = {
            "allowed": decision.allowed,
            "effect": str(decision.effect),
            "because": decision.because,
            "policy": decision.policy,
            "statement_number": decision.statement,
            "statement": statement,
        }
        typer.echo(json.dumps(row, ensure_ascii=False, indent=2))
        return
    typer.echo(f"{'allowed' if decision.allowed else 'denied'}: {decision.because}")
    if statement is not None:
        typer.echo(json.dumps(statement, ensure_ascii=False, indent=2))


def read_document(file: str) -> str:
    """The text of a policy, from a file or from standard input; what cannot be read ends the program."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            fail(f"{file} has more than {MAX_BYTES} bytes: that is no policy")
        return data.decode()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8 text")


def print_document(text: str) -> None:
    """Print a document with a line an element."""
    typer.echo(json.dumps(json.loads(text), ensure_ascii=False, indent=2))


def _target(user: str | None, group: str | None, role: str | None) -> "Target":
    from sordino.domain.identity import Target, TargetKind

    names = ((TargetKind.USER, user), (TargetKind.GROUP, group), (TargetKind.ROLE, role))
    given = [Target(kind, name) for kind, name in names if name is not None]
    if len(given) != 1:
        raise typer.BadParameter("give one of --user, --group and --role")
    return given[0]


def _who(user: str | None, role: str | None, *, anonymous: bool) -> "Who":
    from sordino.cam.simulate import ANONYMOUS, ROOT, Who
    from sordino.domain.identity import CallerKind

    if [user is not None, role is not None, anonymous].count(True) > 1:
        raise typer.BadParameter("give one of --user, --role and --anonymous, or none for the root")
    if user is not None:
        return Who(CallerKind.USER, user)
    if role is not None:
        return Who(CallerKind.ROLE, role)
    return ANONYMOUS if anonymous else ROOT


def _context(texts: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"--context is {text[:80]!r}; use KEY=VALUE, such as qcs:ip=10.0.0.7")
        keys[name.lower()] = (*keys.get(name.lower(), ()), value)
    return keys


def _row(policy: "Policy") -> Mapping[str, Any]:
    return {
        "policy": policy.name,
        "changed_at": policy.changed_at.isoformat(timespec="seconds"),
        "description": policy.description,
    }
