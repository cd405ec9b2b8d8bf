"""How a job is told to the process that runs it."""

import json
from dataclasses import asdict, dataclass

from sordino.audio.order import Channels, MediaFormat, MediaLimits, MediaOrder

RECORD = 1024
"""Bytes of a packed request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An order and its limits; packed, a JSON object filled up with spaces to `RECORD` bytes."""

    order: MediaOrder
    limits: MediaLimits

    def pack(self) -> bytes:
        """The request as bytes.

        Raises:
            ValueError: it is too long, which only the name of an engine can cause.
        """
        packed = json.dumps(asdict(self)).encode().ljust(RECORD)
        if len(packed) > RECORD:
            raise ValueError(f"a request takes at most {RECORD} bytes, not {len(packed)}")
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> "Request":
        """The request of `pack`."""
        fields = json.loads(packed)
        order, limits = fields["order"], fields["limits"]
        kinds = {"format": MediaFormat(order["format"]), "channels": Channels(order["channels"])}
        return cls(order=MediaOrder(**order | kinds), limits=MediaLimits(**limits))
