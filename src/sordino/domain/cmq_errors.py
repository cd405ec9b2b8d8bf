"""The refusals of the CMQ API, by the codes of CMQ's error tables.

Its clients read a code in a JSON reply of status 200; any other status is a broken network to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class CmqError(Exception):
    """A refusal.

    Attributes:
        code: of CMQ.
        message: what is wrong and what to do.
        parts: of a call on many messages: the code, message and receipt of each that failed.
    """

    def __init__(self, code: int, message: str, parts: Sequence[tuple["CmqError", str]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.parts = parts


@dataclass(frozen=True, slots=True)
class CmqErrorKind:
    """One row of the catalogue; calling it makes the exception."""

    code: int
    message: str

    def __call__(self, message: str | None = None, parts: Sequence[tuple[CmqError, str]] = ()) -> CmqError:
        """Make the exception to raise, with ``message`` in place of the default."""
        return CmqError(self.code, message or self.message, parts)


BAD_PARAMETER = CmqErrorKind(4000, "A parameter is missing or not valid.")
NOT_SIGNED_IN = CmqErrorKind(4100, "The signature does not match; check SecretId and SecretKey.")
NOT_ALLOWED = CmqErrorKind(4103, "No policy allows it.")
BAD_TOKEN = CmqErrorKind(4105, "The Token is not that of the temporary key.")
EXPIRED = CmqErrorKind(4200, "Timestamp is too far from the server's time; check the client's clock.")
MESSAGE_TOO_LARGE = CmqErrorKind(4400, "The message is larger than maxMsgSize of the queue or topic.")
QUEUE_FULL = CmqErrorKind(4410, "The queue holds as many messages as it may (maxMsgHeapNum).")
BAD_RECEIPT = CmqErrorKind(
    4430, "The receiptHandle is not that of the last receipt, or the message is visible again; receive it again."
)
NOT_FOUND = CmqErrorKind(4440, "There is no such queue.")
TOO_MANY = CmqErrorKind(4450, "The account has as many as it may have; delete one first.")
EXISTS = CmqErrorKind(4460, "There is one of that name already.")
SUBSCRIPTION_EXISTS = CmqErrorKind(4490, "The topic has a subscription of that name already.")
TOO_MANY_SUBSCRIPTIONS = CmqErrorKind(4500, "The topic has as many subscriptions as it may have; delete one first.")
SERVER_FAILED = CmqErrorKind(6000, "The server failed or cannot answer now; try again.")
NOT_ALL_DELETED = CmqErrorKind(6010, "Some messages were not deleted; errorList tells which and why.")
TOO_MANY_REQUESTS = CmqErrorKind(10250, "Too many requests; wait a moment.")
NO_MESSAGE = CmqErrorKind(7000, "The queue has no message to receive now.")
