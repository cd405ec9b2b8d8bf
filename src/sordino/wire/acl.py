"""Access control lists: the body that sets one, and the reply that shows it."""

from collections.abc import Mapping
from types import MappingProxyType

from sordino.domain.acl import Acl
from sordino.domain.resource import Owner
from sordino.errors import ACCESS_DENIED, INVALID_ARGUMENT, NOT_IMPLEMENTED
from sordino.wire import xml
from sordino.wire.part import Part
from sordino.wire.words import quote

ROOT = "AccessControlPolicy"
ALL_USERS = "http://cam.qcloud.com/groups/global/AllUsers"
ANYBODY = (ALL_USERS, "qcs::cam::anyone:anyone")
"""How clients name everybody: as a group, or, coscmd and older ones, as a user."""
MAX_GRANTS = 100

# Who may be granted what, and what the list then is.
_OWNER, _EVERYBODY = "the owner", "all users"
_OFFERED: Mapping[tuple[str, str], Acl] = MappingProxyType(
    {(_OWNER, "FULL_CONTROL"): Acl.PRIVATE, (_EVERYBODY, "READ"): Acl.PUBLIC_READ}
)


def owner_id(owner: Owner) -> str:
    """The root user of an account, as COS writes it."""
    return f"qcs::cam::uin/{owner.uin}:uin/{owner.uin}"


def parse_acl(policy: Part, owner: Owner) -> Acl:
    """Read the body of PUT ``?acl``. An owner who is granted nothing keeps full control.

    Args:
        policy: the root.
        owner: whose bucket it is.

    Raises:
        ServiceError: InvalidArgument, AccessDenied when it names another owner, NotImplemented for grants that are not
            offered.
    """
    said = policy.find("Owner")
    if said is not None and (said.word("ID") or owner_id(owner)) != owner_id(owner):
        raise ACCESS_DENIED(f"{ROOT}.Owner.ID is not the owner's; write {owner_id(owner)}, or leave it out.")
    grants = policy.need_container("AccessControlList").element.all("Grant")
    if len(grants) > MAX_GRANTS:
        raise INVALID_ARGUMENT(f"{ROOT}.AccessControlList has {len(grants)} grants; at most {MAX_GRANTS}.")
    lists = {_granted(Part(grant, f"{ROOT}.AccessControlList.Grant"), owner) for grant in grants}
    return Acl.PUBLIC_READ if Acl.PUBLIC_READ in lists else Acl.PRIVATE


def _granted(grant: Part, owner: Owner) -> Acl:
    permission = grant.required("Permission", grant.word("Permission"), "use FULL_CONTROL or READ")
    grantee = grant.need("Grantee")
    name = grantee.word("URI") or grantee.word("ID")
    if name is None:
        raise INVALID_ARGUMENT(f"{grantee.path} has neither URI nor ID; say who is granted {quote(permission)}.")
    who = _EVERYBODY if name in ANYBODY else _OWNER if name == owner_id(owner) else name
    acl = _OFFERED.get((who, permission))
    if acl is None:
        raise NOT_IMPLEMENTED(
            f"{grant.path}: {quote(permission)} for {quote(name)} is not offered; "
            f"grant FULL_CONTROL to the owner, {owner_id(owner)}, and READ to {ALL_USERS}, or use the header x-cos-acl."
        )
    return acl


def render_acl(acl: Acl, owner: Owner) -> bytes:
    """The reply of GET ``?acl``.

    Args:
        acl: what the list comes to; not ``Acl.DEFAULT``.
        owner: whose bucket it is.
    """
    names: list[xml.Node] = [("ID", owner_id(owner)), ("DisplayName", owner.uin)]
    grants: list[xml.Node] = [_grant("FULL_CONTROL", "CanonicalUser", names)]
    if acl is Acl.PUBLIC_READ:
        grants.insert(0, _grant("READ", "Group", [("URI", ALL_USERS)]))
    return xml.document(ROOT, [("Owner", names), ("AccessControlList", grants)])


def _grant(permission: str, kind: str, grantee: list[xml.Node]) -> xml.Node:
    return ("Grant", [("Grantee", [(xml.TYPE, kind), *grantee]), ("Permission", permission)])
