"""How much two cores do against one: the media processes of the service, alone and side by side."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sordino.audio import sandbox
from sordino.audio.order import MediaLimits, MediaOrder
from sordino.bench import recording, turns

RATE: Final = 16_000
ALONE: Final = "alone"
TOGETHER: Final = "together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What the same jobs took one after the other and at once.

    Attributes:
        processes: how many at once.
        alone: wall time of the jobs one after the other, seconds, median of the rounds.
        together: wall time of them at once, seconds, median of the rounds.
        ratio: median of the rounds' ratios; as many as processes is best.
    """

    processes: int
    alone: float
    together: float
    ratio: float


def measure(samples: NDArray[np.float32], denoiser: str, *, processes: int, rounds: int) -> Scaling:
    """Run as many jobs as processes, in turns one after the other and at once.

    Args:
        samples: float32, shape (samples,), at `RATE`; the recording of each job.
        denoiser: name of the engine.
        processes: 2 or more.
        rounds: how often, 1 or more.

    Raises:
        MediaCrashedError: a media process died.
    """
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "recording.flac")
        recording.write(source, samples, RATE)

        def jobs(at_once: int) -> float:
            return asyncio.run(_wall(source, denoiser, [at_once] * (processes // at_once)))

        jobs(1)  # starts the process they are forked from: not counted
        found = turns.take({ALONE: lambda: jobs(1), TOGETHER: lambda: jobs(processes)}, rounds)
    return Scaling(
        processes=processes,
        alone=found.median(ALONE),
        together=found.median(TOGETHER),
        ratio=found.ratio(ALONE, TOGETHER),
    )


async def _wall(source: Path, denoiser: str, batches: Sequence[int]) -> float:
    """Run jobs, so many at once, batch after batch; the wall time, seconds."""
    began = perf_counter()
    for count in batches:
        await asyncio.gather(*(_job(source, denoiser) for _ in range(count)))
    return perf_counter() - began


async def _job(source: Path, denoiser: str) -> None:
    with source.open("rb") as noisy, tempfile.TemporaryFile(dir=source.parent) as clean:
        await sandbox.run(noisy, clean, MediaOrder(denoiser=denoiser), MediaLimits())
