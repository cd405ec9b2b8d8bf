"""What a job may read and write: what the role may that CI takes in the account of the job's bucket, as it is now.

Who submits a job must be allowed to pass that role on, and need not be allowed to read or write himself. Policies of
the role and of the buckets are looked at when the job runs, and again when its output becomes visible: they may have
changed since it was submitted. CI's own address is not known, so no condition on ``qcs:ip`` holds for it.

CI, "Error codes": ``CIRoleNotExist``, ``ResourceAccessDenied``, ``WriteTargetBucketDenied``
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sordino import errors
from sordino.domain.acl import Acl
from sordino.domain.audit import AuditEntry
from sordino.domain.bucket import Bucket, StoredObject, appid_of
from sordino.domain.decision import Asked, Decision, Effect, decide, may_take
from sordino.domain.identity import CI_ROLE, CI_ROLE_POLICY, CI_SERVICE, Account, Caller, caller_of
from sordino.domain.job import Job
from sordino.domain.known import of_everyone
from sordino.domain.mounted_keys import decide_mounted
from sordino.domain.ports import Transaction
from sordino.domain.resource import Owner, cos_resource, role_resource
from sordino.errors import ServiceError

READ: Final = "cos:GetObject"
WRITE: Final = "cos:PutObject"


async def check_role(tx: Transaction, appid: str, now: datetime) -> Account:
    """The account, whose role CI may take.

    Raises:
        ServiceError: CIRoleNotExist.
    """
    role = await _role(tx, appid, now)
    if role is None:
        raise errors.CI_ROLE_NOT_EXIST(
            f"Jobs read and write as the role {CI_ROLE}, and the account {appid} has none that {CI_SERVICE} may take; "
            f"create it with a trust policy for {CI_SERVICE}, and attach the policy {CI_ROLE_POLICY} to it."
        )
    return role.account


async def access_of(tx: Transaction, job: Job, now: datetime) -> "Access":
    """What a job may now.

    Raises:
        ServiceError: ResourceAccessDenied, when CI may not take the role any more.
    """
    output = job.operation.output.bucket
    buckets = await tx.buckets.find([job.bucket, output])
    source = buckets[job.bucket]  # it cannot be removed before its jobs have ended
    role = await _role(tx, source.appid, now)
    if role is None:
        raise errors.RESOURCE_ACCESS_DENIED(
            f"The account {source.appid} has no role {CI_ROLE} any more that {CI_SERVICE} may take; jobs read and "
            "write as that role."
        )
    return Access(job=job, source=source, target=buckets.get(output), role=role, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a job may at a moment.

    Attributes:
        source: bucket of the input.
        target: bucket of the output; None: there is none of that name.
        role: as which it reads and writes.
    """

    job: Job
    source: Bucket
    target: Bucket | None
    role: Caller
    now: datetime

    def check_input(self, stored: StoredObject | None) -> None:
        """See that the role may read the input, which may not be there; what is open to all is open to it, too.

        Raises:
            ServiceError: ResourceAccessDenied.
        """
        decision = self._decide(READ, self.source, self.job.input_object)
        public = stored is not None and stored.acl.within(self.source.acl) is Acl.PUBLIC_READ
        if not decision.allowed and not (public and decision.effect is Effect.NONE):
            raise errors.RESOURCE_ACCESS_DENIED(f"The role {CI_ROLE} may not read the input; {decision.because}.")

    def output_bucket(self) -> Bucket:
        """The bucket of the output, to which the role may write it.

        Raises:
            ServiceError: WriteTargetBucketDenied.
        """
        output = self.job.operation.output
        if self.target is None or self.target.region != output.region:
            raise self._no_target()
        decision = self._decide(WRITE, self.target, output.object)
        if not decision.allowed:
            raise self._no_target(decision)
        return self.target

    def _no_target(self, decision: Decision | None = None) -> ServiceError:
        """The refusal to write; of a bucket of another account nobody learns from it whether there is one."""
        output = self.job.operation.output
        if appid_of(output.bucket) != self.source.appid:
            return errors.WRITE_TARGET_BUCKET_DENIED(
                f"There is no bucket {output.bucket} in {output.region}, or it may not be written: its policy must "
                f"allow {WRITE} to the role {CI_ROLE} of account {self.role.account.uin}, and the role's own must, too."
            )
        if decision is None:
            return errors.WRITE_TARGET_BUCKET_DENIED(f"There is no bucket {output.bucket} in {output.region}.")
        return errors.WRITE_TARGET_BUCKET_DENIED(f"The role {CI_ROLE} may not write the output; {decision.because}.")

    def _decide(self, action: str, bucket: Bucket, key: str) -> Decision:
        resource = cos_resource(bucket.name, bucket.region, bucket.owner, key)
        asked = Asked(action=action, resource=resource, context=of_everyone(self.role, "", self.now, resource))
        return decide_mounted(lambda it: decide(self.role, it, bucket.named_policy), asked, bucket)


async def tell_refusal(tx: Transaction, job: Job, code: str, reason: str, now: datetime) -> None:
    """Write into the audit log that a job was not let read or write, if that is what it failed of."""
    if code == errors.RESOURCE_ACCESS_DENIED.code:
        await tx.audit.add([_entry(job, READ, job.bucket, job.region, job.input_object, now, code=code, reason=reason)])
    elif code == errors.WRITE_TARGET_BUCKET_DENIED.code:
        output = job.operation.output
        entry = _entry(job, WRITE, output.bucket, output.region, output.object, now, code=code, reason=reason)
        await tx.audit.add([entry])


async def tell_gift(tx: Transaction, job: Job, now: datetime) -> None:
    """Write into the audit log that a job wrote into another account's bucket: there no call tells of it."""
    output = job.operation.output
    if appid_of(output.bucket) != appid_of(job.bucket):
        await tx.audit.add([_entry(job, WRITE, output.bucket, output.region, output.object, now)])


def _entry(
    job: Job, action: str, bucket: str, region: str, key: str, now: datetime, *, code: str = "", reason: str = ""
) -> AuditEntry:
    appid = appid_of(bucket)
    owner = Owner(appid=appid or "", uin="")  # resources of COS are written without it
    return AuditEntry(
        at=now,
        appid=appid_of(job.bucket),
        caller=f"roleName/{CI_ROLE}",
        secret_id=None,
        source=CI_SERVICE,
        request_id=job.job_id,
        action=action,
        resource=str(cos_resource(bucket, region, owner, key)),
        owner=appid,
        allowed=not code,
        code=code,
        reason=reason,
    )


async def _role(tx: Transaction, appid: str, now: datetime) -> Caller | None:
    """The role of an account as who calls, if CI may take it."""
    found = await tx.identities.role(appid, CI_ROLE)
    if found is None:
        return None
    role, account = found
    context = of_everyone(None, "", now, role_resource(role.name, account.owner))
    return caller_of(role, account) if may_take(role, account.owner, None, CI_SERVICE, context).allowed else None
