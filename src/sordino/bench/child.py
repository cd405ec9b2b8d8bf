"""What must be measured in a process of its own, and the way to start one.

Run as ``python -m sordino.bench.child TASK ARGUMENT...``; the last line of the output is the JSON of the result.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from sordino.bench import machine, work
from sordino.bench.errors import BenchError
from sordino.bench.runtimes import open_engine

MODULE: Final = "sordino.bench.child"
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""NumPy reads them when it is imported, so they are set for the process from its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process that has done its work.

    Attributes:
        output: what it wrote.
        cpu: CPU time from its start to its end, seconds.
        wall: time from its start to its end, seconds.
    """

    output: str
    cpu: float
    wall: float


def start(arguments: Sequence[str]) -> Ended:
    """Run Python with these arguments on one thread, and wait for its end.

    Raises:
        BenchError: it ended with a status other than 0; the message is the last line it wrote.
    """
    began = perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise BenchError((output.strip().splitlines() or [f"status {process.returncode}"])[-1])
    return Ended(output=output, cpu=used.ru_utime + used.ru_stime, wall=perf_counter() - began)


def ask(task: str, *arguments: str) -> Any:  # noqa: ANN401 - as JSON is
    """Have a task done by a process of its own; its result.

    Args:
        task: one of `TASKS`.
        arguments: the task's.

    Raises:
        BenchError: it failed.
    """
    return json.loads(start(["-m", MODULE, task, *arguments]).output.splitlines()[-1])


def peak(engine: str, samples: str) -> int:
    """Peak memory of a process that loads an engine and denoises the samples of a ``.npy`` file, bytes."""
    open_engine(engine).prepare(np.load(samples))()
    return machine.peak_memory()


def operations(engine: str, samples: str) -> int:
    """Floating point operations of an engine's models on the samples of a ``.npy`` file."""

    def run() -> None:
        open_engine(engine).prepare(np.load(samples))()

    return work.count(run)


def path(source: str, target: str, denoiser: str) -> Mapping[str, float]:
    """Run the whole sound path from one file to another; the peak memory, bytes, and the audio, seconds."""
    # PyAV and its libraries take memory that the other tasks do not need.
    from sordino.audio.process import denoise_file  # noqa: PLC0415

    report = denoise_file(Path(source), Path(target), rate=16000, denoiser=denoiser)
    return {"peak": machine.peak_memory(), "seconds": report.seconds}


TASKS: Final[dict[str, Callable[..., object]]] = {task.__name__: task for task in (peak, operations, path)}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
