"""Jobs, whosever they are, and to whom their ends were told."""

from datetime import datetime

from fastapi import APIRouter

from sordino.api.admin.call import Call, Changing, Looking
from sordino.api.admin.fields import Id, View
from sordino.domain.bucket import appid_of
from sordino.domain.delivery import DeliveryState, LoggedDelivery
from sordino.domain.job import Job, JobState
from sordino.jobs.operate import no_job

routes = APIRouter(prefix="/v1/jobs", tags=["jobs"])


class JobView(View):
    """A job."""

    job_id: str
    bucket: str
    queue_id: str
    state: JobState
    progress: int
    """Percent."""
    attempt: int
    input: str
    """Key of the object that it reads."""
    output: str
    """`<bucket>/<key>` that it writes."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    code: str | None
    """How it ended; null: it has not."""
    message: str


class AttemptView(View):
    """A try to tell the end of a job."""

    number: int
    at: datetime
    status: int | None
    """HTTP status of the reply; null: there was none."""
    milliseconds: int | None
    error: str | None
    """Why there was none."""


class DeliveryView(View):
    """A message about the end of a job."""

    delivery_id: str
    to: str | None
    """URL, or queue or topic, with its region."""
    state: DeliveryState
    created_at: datetime
    next_at: datetime | None
    """When it is tried again; null: it is not."""
    attempts: list[AttemptView]


def _job(job: Job) -> JobView:
    return JobView(
        job_id=job.job_id,
        bucket=job.bucket,
        queue_id=job.queue_id,
        state=job.state,
        progress=job.progress,
        attempt=job.attempt,
        input=job.input_object,
        output=f"{job.operation.output.bucket}/{job.operation.output.object}",
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        code=job.code if job.state.terminal else None,
        message=job.message,
    )


def _delivery(logged: LoggedDelivery) -> DeliveryView:
    delivery, mq = logged.delivery, logged.delivery.target.mq
    return DeliveryView(
        delivery_id=delivery.delivery_id,
        to=f"{mq.mode} {mq.name} of {mq.region}" if mq else delivery.target.url,
        state=delivery.state,
        created_at=delivery.created_at,
        next_at=delivery.next_at,
        attempts=[AttemptView.model_validate(attempt) for attempt in logged.attempts],
    )


async def _seen(call: Call, job_id: str) -> Job:
    """A job of an account that the token is for; of another it is as if there were none."""
    job = await call.cases.jobs.show(job_id)
    if not call.sees(appid_of(job.bucket)):
        raise call.refuse(no_job(job_id))
    return job


@routes.get("/{job_id}")
async def show_job(call: Looking, job_id: Id) -> JobView:
    """Show a job."""
    return _job(await _seen(call, job_id))


@routes.post("/{job_id}/cancel")
async def cancel_job(call: Changing, job_id: Id) -> JobView:
    """Cancel a job that waits or runs, which leaves no output; what has ended stays as it is."""
    await _seen(call, job_id)
    return _job(await call.cases.jobs.stop(call.operator, job_id))


@routes.get("/{job_id}/callbacks")
async def list_callbacks(call: Looking, job_id: Id) -> list[DeliveryView]:
    """List to whom the end of a job was told or is being told, the last delivery first, with every try."""
    await _seen(call, job_id)
    return [_delivery(logged) for logged in await call.cases.jobs.callbacks(job_id)]


@routes.post("/{job_id}/callbacks", status_code=201)
async def tell_again(call: Changing, job_id: Id) -> list[DeliveryView]:
    """Have the end of a job told once more, to where its callback goes now; its deliveries then."""
    await _seen(call, job_id)
    return [_delivery(logged) for logged in await call.cases.jobs.tell_again(call.operator, job_id)]
