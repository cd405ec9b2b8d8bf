"""Whether everybody was told of every end, and rightly."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callback_sink import Receipt

SUCCESS_MESSAGE = "SUCCESS"
"""What callbacks say where queries show no message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of the callbacks of one way.

    Attributes:
        jobs: whose end was to be told.
        missing: jobs that nobody was told of.
        doubled: callbacks that came once more than needed; they may, at least once is what is promised.
        wrong: callbacks that do not say what the job's query shows.
        strangers: callbacks of no such job, or of a job that was told under another delivery already.
    """

    jobs: int
    missing: int
    doubled: int
    wrong: int
    strangers: int

    @property
    def sound(self) -> bool:
        """Whether nothing is missing or wrong."""
        return self.missing == self.wrong == self.strangers == 0


def compare(details: Mapping[str, Mapping[str, Any]], receipts: Iterable[Receipt]) -> Told:
    """Hold what came against what the server shows.

    Args:
        details: of the jobs that were to be told, by id, as the SDK reads them.
        receipts: what came.
    """
    by_job: defaultdict[str, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        by_job[str(receipt.body["JobsDetail"]["JobId"])].append(receipt)
    ours = {job_id: by_job.get(job_id, []) for job_id in details}
    return Told(
        jobs=len(details),
        missing=sum(not found for found in ours.values()),
        doubled=sum(max(0, len(found) - 1) for found in ours.values()),
        wrong=sum(_wrong(details[job_id], found) for job_id, found in ours.items()),
        strangers=sum(_deliveries_too_many(found) for found in ours.values())
        + sum(len(found) for job_id, found in by_job.items() if job_id not in details),
    )


def _deliveries_too_many(receipts: Sequence[Receipt]) -> int:
    return max(0, len({receipt.delivery for receipt in receipts}) - 1)


def _wrong(detail: Mapping[str, Any], receipts: Sequence[Receipt]) -> int:
    expected = _plain(detail)
    if expected["State"] == "Success":
        expected["Message"] = expected["Message"] or SUCCESS_MESSAGE
    return sum(receipt.body["JobsDetail"] != expected for receipt in receipts)


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The value as JSON callbacks write it: nothing is an empty string."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return "" if value is None else value
