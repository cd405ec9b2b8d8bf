"""Identifiers in the forms of the protocol's samples."""

import secrets
import uuid
from base64 import b64encode
from datetime import datetime

_MULTICAST = 1 << 40


def new_job_id() -> str:
    """``j`` and 32 hex digits of a UUIDv1; its node is random and marked so (RFC 9562, 6.10), not a MAC address."""
    return "j" + uuid.uuid1(node=secrets.randbits(48) | _MULTICAST, clock_seq=secrets.randbits(14)).hex


def new_queue_id() -> str:
    """``p`` and 32 hex digits of a UUIDv4."""
    return "p" + uuid.uuid4().hex


def new_template_id() -> str:
    """``t1`` and 32 hex digits of a UUIDv4."""
    return "t1" + uuid.uuid4().hex


def new_request_id(now: datetime) -> str:
    """Base64 of ``<unix seconds>_<random>_<random>_<random>``, all in hex.

    Args:
        now: the time the request arrived, timezone-aware.
    """
    parts = (int(now.timestamp()), secrets.randbits(32), secrets.randbits(16), secrets.randbits(16))
    return b64encode("_".join(f"{part:x}" for part in parts).encode()).decode()


def new_trace_id() -> str:
    """Base64 of 32 random hex digits."""
    return b64encode(secrets.token_hex(16).encode()).decode()


def new_upload_id(now: datetime) -> str:
    """The milliseconds of ``now`` in 13 digits and 64 hex digits: of a key's uploads the last one listed is the newest.

    Args:
        now: the time, timezone-aware.
    """
    return f"{int(now.timestamp() * 1000):013d}{secrets.token_hex(32)}"


def new_message_queue_id() -> str:
    """``queue-`` and 32 hex digits of a UUIDv4."""
    return f"queue-{uuid.uuid4().hex}"


def new_topic_id() -> str:
    """``topic-`` and 32 hex digits of a UUIDv4."""
    return f"topic-{uuid.uuid4().hex}"


def new_subscription_id() -> str:
    """``subsc-`` and 32 hex digits of a UUIDv4."""
    return f"subsc-{uuid.uuid4().hex}"


def new_published_id() -> str:
    """Of what was published to a topic: in each queue it is a message with an id of its own."""
    return uuid.uuid4().hex
