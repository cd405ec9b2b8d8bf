"""Where the end of a job is told, and in which words: what the job says, and failing that its queue."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

MQ_REGIONS = ("sh", "bj", "gz", "cd", "hk")


class CallbackType(StrEnum):
    """How the end of a job travels."""

    URL = "Url"
    TDMQ = "TDMQ"


class CallbackFormat(StrEnum):
    """In which form it is told."""

    XML = "XML"
    JSON = "JSON"


class CallbackEvent(StrEnum):
    """What a queue tells of."""

    TASK_FINISH = "TaskFinish"
    WORKFLOW_FINISH = "WorkflowFinish"


class MqMode(StrEnum):
    """Whether ``MqTarget.name`` names a queue or a topic."""

    QUEUE = "Queue"
    TOPIC = "Topic"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqTarget:
    """A queue or topic of TDMQ; ``region`` is one of ``MQ_REGIONS``."""

    region: str
    mode: MqMode
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyConfig:
    """A queue's callback. What is set while it is ``on`` and of which ``type`` is complete; the rest may be None.

    Attributes:
        on: whether it is used at all.
        events: what it tells of.
        type: how it travels.
        format: of the body.
        url: where ``CallbackType.URL`` goes.
        mq: where ``CallbackType.TDMQ`` goes.
    """

    on: bool = False
    events: tuple[CallbackEvent, ...] = ()
    type: CallbackType | None = None
    format: CallbackFormat = CallbackFormat.XML
    url: str | None = None
    mq: MqTarget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCallback:
    """What a job itself says of its callback; None leaves that to its queue.

    Attributes:
        muted: ``CallBack`` was ``no``: nothing is told, whatever the queue says.
        url: where to.
        type: how it travels.
        format: of the body.
        mq: where ``CallbackType.TDMQ`` goes.
    """

    muted: bool = False
    url: str | None = None
    type: CallbackType | None = None
    format: CallbackFormat | None = None
    mq: MqTarget | None = None


QUEUE_DECIDES = JobCallback()
"""A job that says nothing of its callback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackTarget:
    """Where the end of one job goes: exactly one of ``url`` and ``mq`` is set."""

    format: CallbackFormat = CallbackFormat.XML
    url: str | None = None
    mq: MqTarget | None = None

    @property
    def host(self) -> str:
        """Whose slowness holds up what else goes there: the URL's host, or a region's message queue."""
        return f"tdmq:{self.mq.region}" if self.mq else urlsplit(self.url or "").hostname or ""


def resolve(job: JobCallback, queue: NotifyConfig | None) -> CallbackTarget | None:
    """Where the end of a job goes; None: it is told nowhere.

    What the job says goes over what its queue says, element by element; the queue's word counts while its callback is
    on and tells of ended tasks.

    Args:
        job: what the job says.
        queue: what its queue says; None when that is gone.
    """
    if job.muted:
        return None
    used = queue if queue is not None and queue.on and CallbackEvent.TASK_FINISH in queue.events else NotifyConfig()
    form = job.format or used.format
    # A job that names a URL means it, whatever its queue's type is.
    kind = job.type or (CallbackType.URL if job.url else used.type)
    if kind is CallbackType.TDMQ:
        mq = job.mq or used.mq
        return None if mq is None else CallbackTarget(format=form, mq=mq)
    url = job.url or used.url
    return None if url is None else CallbackTarget(format=form, url=url)
