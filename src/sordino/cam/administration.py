"""What an operator may do, in one place: the command line and the admin API both stand on it."""

from dataclasses import dataclass

from sordino.cam.accounts import Accounts
from sordino.cam.audit import AuditReader
from sordino.cam.bucket_policies import BucketPolicies
from sordino.cam.keys import Keys
from sordino.cam.policies import Policies
from sordino.cam.roles import Roles
from sordino.cam.sessions import Sessions
from sordino.cam.simulate import Simulate
from sordino.cam.tokens import AdminTokens
from sordino.cam.users import Groups, Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """The operator's use cases."""

    accounts: Accounts
    users: Users
    groups: Groups
    keys: Keys
    policies: Policies
    bucket_policies: BucketPolicies
    roles: Roles
    simulate: Simulate
    tokens: AdminTokens
    sessions: Sessions
    audit: AuditReader
