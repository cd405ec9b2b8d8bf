"""Values that are stored whole, one jsonb each, since nobody searches by what is in them."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from psycopg.types.json import Jsonb

from sordino.domain.callback import (
    QUEUE_DECIDES,
    CallbackEvent,
    CallbackFormat,
    CallbackType,
    JobCallback,
    MqMode,
    MqTarget,
    NotifyConfig,
)
from sordino.domain.cors import Cors, CorsMethod, CorsRule
from sordino.domain.job import (
    AudioFormat,
    Channels,
    Dnsmos,
    MediaInfo,
    NoiseReduction,
    Operation,
    Output,
    RateSpelling,
    SoundQuality,
    TemplateRef,
    loudness,
)

Stored = Mapping[str, Any]
"""A JSON object as the database gives it back."""


def dump(value: NoiseReduction | Operation | MediaInfo | NotifyConfig | JobCallback | MqTarget | Cors) -> Jsonb:
    """A value as a JSON object; decimals are text in it, so that they come back with the digits they had."""
    return Jsonb(asdict(value), dumps=partial(json.dumps, default=str))


def dump_media_info(info: MediaInfo | None) -> Jsonb | None:
    """NULL for a file that is not written."""
    return None if info is None else dump(info)


def dump_callback(callback: JobCallback) -> Jsonb | None:
    """NULL for a job that says nothing of its callback, as those of earlier versions do."""
    return None if callback == QUEUE_DECIDES else dump(callback)


def dump_cors(cors: Cors | None) -> Jsonb | None:
    """NULL for a bucket without rules."""
    return None if cors is None else dump(cors)


def load_noise_reduction(stored: Stored) -> NoiseReduction:
    """Rows of earlier versions have the first three values alone."""
    channels, asked = stored.get("channels"), stored.get("loudness")
    return NoiseReduction(
        format=AudioFormat(stored["format"]),
        sample_rate=stored["sample_rate"],
        spelling=RateSpelling(stored["spelling"]),
        model=stored.get("model"),
        strength=stored.get("strength"),
        channels=None if channels is None else Channels(channels),
        loudness=None if asked is None else loudness(asked),
        video=stored.get("video", False),
    )


def load_operation(stored: Stored) -> Operation:
    """Rows of earlier versions have no template."""
    template = stored.get("template")
    return Operation(
        noise_reduction=load_noise_reduction(stored["noise_reduction"]),
        output=Output(**stored["output"]),
        template=TemplateRef(**template) if template else None,
        user_data=stored["user_data"],
        job_level=stored["job_level"],
    )


def load_media_info(stored: Stored | None) -> MediaInfo | None:
    """Rows of earlier versions lack ``before``, ``after`` and ``md5``."""
    if stored is None:
        return None
    sides = {name: _load_quality(stored.get(name)) for name in ("before", "after")}
    return MediaInfo(**{**stored, **sides})


def _load_quality(stored: Stored | None) -> SoundQuality | None:
    if stored is None:
        return None
    scores = stored["dnsmos"]
    return SoundQuality(**{**stored, "dnsmos": Dnsmos(**scores) if scores else None})


def load_notify(stored: Stored) -> NotifyConfig:
    """Queues of earlier versions have an empty object: nothing is told."""
    if not stored:
        return NotifyConfig()
    return NotifyConfig(
        on=stored["on"],
        events=tuple(map(CallbackEvent, stored["events"])),
        type=CallbackType(stored["type"]) if stored["type"] else None,
        format=CallbackFormat(stored["format"]),
        url=stored["url"],
        mq=load_mq(stored["mq"]),
    )


def load_callback(stored: Stored | None) -> JobCallback:
    """The inverse of ``dump_callback``."""
    if stored is None:
        return QUEUE_DECIDES
    return JobCallback(
        muted=stored["muted"],
        url=stored["url"],
        type=CallbackType(stored["type"]) if stored["type"] else None,
        format=CallbackFormat(stored["format"]) if stored["format"] else None,
        mq=load_mq(stored["mq"]),
    )


def dump_mq(target: MqTarget | None) -> Jsonb | None:
    """NULL for what goes to no message queue."""
    return None if target is None else dump(target)


def load_mq(stored: Stored | None) -> MqTarget | None:
    """The inverse of ``dump_mq``."""
    return MqTarget(**{**stored, "mode": MqMode(stored["mode"])}) if stored else None


def load_cors(stored: Stored) -> Cors:
    """The rules of a bucket."""
    return Cors(rules=tuple(map(_load_cors_rule, stored["rules"])), vary=stored["vary"])


def _load_cors_rule(stored: Stored) -> CorsRule:
    return CorsRule(
        origins=tuple(stored["origins"]),
        methods=tuple(map(CorsMethod, stored["methods"])),
        headers=tuple(stored["headers"]),
        exposed=tuple(stored["exposed"]),
        max_age=stored["max_age"],
        rule_id=stored["rule_id"],
    )
