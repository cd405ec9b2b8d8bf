"""The machine that the figures were measured on, and what its cores can do at best."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Final, TypeVar

import numpy as np

T = TypeVar("T")

PACKAGES: Final = ("sordino", "numpy", "onnxruntime", "av", "soxr")
MATRIX: Final = 1024
"""Rows and columns of the matrices whose product is timed: large enough for the full rate, small enough for caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What figures depend on besides the program.

    Attributes:
        processor: name of the CPU.
        cores: cores that this process may use.
        load: runnable processes, mean of the last minute; more than a few tenths before a run disturb it.
        system: operating system and architecture.
        versions: of Python and of the packages that do the work.
    """

    processor: str
    cores: int
    load: float
    system: str
    versions: dict[str, str]

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.processor}, {self.cores} cores, load {self.load:.1f}; {self.system}; {versions}"


def describe() -> Machine:
    """This machine, now."""
    return Machine(
        processor=_processor(),
        cores=cores(),
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.machine()}",
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Do the work; the CPU time of the process it took, seconds, and its result."""
    started = process_time()
    result = work()
    return process_time() - started, result


def matrix_rate(products: int = 8) -> float:
    """The rate of float32 matrix products of NumPy, on as many threads as NumPy was given.

    Args:
        products: how many are timed; the fastest counts.

    Returns:
        Floating point operations per CPU second.
    """
    left = np.random.default_rng(0).random((MATRIX, MATRIX), np.float32)
    product = np.empty_like(left)

    def multiply() -> None:
        np.matmul(left, left, out=product)

    multiply()
    return 2 * MATRIX**3 / min(timed(multiply)[0] for _ in range(products))


def peak_memory() -> int:
    """The most memory that this process has had resident so far, bytes.

    Raises:
        OSError: the system does not tell; Linux does.
    """
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("The system does not tell the peak memory of a process.")
