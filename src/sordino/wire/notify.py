"""Where the end of a job is told: CallBack and its kin in a job, NotifyConfig in a queue."""

import re

from sordino.domain.callback import (
    MQ_REGIONS,
    CallbackEvent,
    CallbackFormat,
    CallbackType,
    JobCallback,
    MqMode,
    MqTarget,
    NotifyConfig,
)
from sordino.domain.callback_url import MAX_URL, CallbackUrlError, split_callback_url
from sordino.errors import INVALID_ARGUMENT
from sordino.wire import xml
from sordino.wire.part import Part
from sordino.wire.words import comma_list, quote

MUTE = "no"
"""The CallBack that silences the queue's."""

_URL_LEGAL = f"an http or https URL with a host, ASCII, without user and password, of at most {MAX_URL} characters"
_MQ_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
_MQ_NAME_LEGAL = "the name of a queue or topic: 1 to 128 letters, digits, '_', '.' and '-'"


def parse_job_callback(request: Part) -> JobCallback:
    """What a job says of its callback.

    Args:
        request: the root of ``POST /jobs``.

    Raises:
        ServiceError: ``InvalidArgument``, ``NotImplemented``.
    """
    request.refuse("CallBackKafkaConfig", "Kafka callbacks are")
    target = request.checked("CallBack", lambda word: word == MUTE or is_url(word), f"{_URL_LEGAL}, or {MUTE}")
    kind = request.choice("CallBackType", CallbackType)
    return JobCallback(
        muted=target == MUTE,
        url=None if target == MUTE else target,
        type=kind,
        format=request.choice("CallBackFormat", CallbackFormat),
        mq=_job_mq(request, kind),
    )


def parse_notify(config: Part) -> NotifyConfig:
    """What a queue says of the callbacks of its jobs.

    Args:
        config: NotifyConfig; it may be empty.

    Raises:
        ServiceError: ``InvalidArgument`` for a value that is not allowed, or that is missing while State is On;
            ``NotImplemented``.
    """
    config.refuse("KafkaConfig", "Kafka callbacks are")
    found = NotifyConfig(
        on=config.choice("State", ("Off", "On")) == "On",
        events=_events(config),
        type=config.choice("Type", CallbackType),
        format=config.choice("ResultFormat", CallbackFormat) or CallbackFormat.XML,
        url=config.checked("Url", is_url, _URL_LEGAL),
        mq=_mq(config),
    )
    if found.on:
        _check_complete(config, found)
    return found


def notify_nodes(config: NotifyConfig) -> list[xml.Node]:
    """The children of NotifyConfig, all of them, empty where nothing is set."""
    return [
        ("Url", config.url or ""),
        ("Event", ",".join(config.events)),
        ("Type", config.type or ""),
        ("State", "On" if config.on else "Off"),
        ("ResultFormat", "" if config == NotifyConfig() else config.format),
        ("MqMode", config.mq.mode if config.mq else ""),
        ("MqName", config.mq.name if config.mq else ""),
        ("MqRegion", config.mq.region if config.mq else ""),
    ]


def is_url(word: str) -> bool:
    """Whether ``word`` is a URL that a callback may go to, as far as its form tells."""
    try:
        split_callback_url(word)
    except CallbackUrlError:
        return False
    return True


def _events(config: Part) -> tuple[CallbackEvent, ...]:
    """The comma list, each once, in the order given."""
    names = comma_list(config.word("Event") or "")
    legal = [event.value for event in CallbackEvent]
    for name in names:
        if name not in legal:
            raise INVALID_ARGUMENT(f"{config.path}.Event has {quote(name)}; use a comma list of {', '.join(legal)}.")
    return tuple(map(CallbackEvent, names))


def _check_complete(config: Part, found: NotifyConfig) -> None:
    """What a callback that is On needs."""
    config.required("Event", found.events or None, "State On needs it")
    if config.required("Type", found.type, "State On needs it") is CallbackType.URL:
        config.required("Url", found.url, "State On with Type Url needs it")
    else:
        _need_mq(config)


def _job_mq(request: Part, kind: CallbackType | None) -> MqTarget | None:
    """The queue or topic of a job, which a callback of type TDMQ needs."""
    config = request.find("CallBackMqConfig")
    if kind is CallbackType.TDMQ:
        config = request.required("CallBackMqConfig", config, "CallBackType TDMQ needs it")
    return None if config is None else _need_mq(config)


def _need_mq(part: Part) -> MqTarget:
    return part.required("MqRegion", _mq(part), f"use one of {', '.join(MQ_REGIONS)}")


def _mq(part: Part) -> MqTarget | None:
    """The queue or topic; None when neither region nor name is there."""
    mode = part.choice("MqMode", MqMode) or MqMode.QUEUE
    region = part.choice("MqRegion", MQ_REGIONS)
    name = part.checked("MqName", _MQ_NAME.fullmatch, _MQ_NAME_LEGAL)
    if region is None and name is None:
        return None
    return MqTarget(
        region=part.required("MqRegion", region, f"use one of {', '.join(MQ_REGIONS)}"),
        mode=mode,
        name=part.required("MqName", name, f"use {_MQ_NAME_LEGAL}"),
    )
