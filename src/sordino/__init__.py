"""Sordino: audio noise reduction as a library, a command line and a service that speaks Cloud Infinite's protocol.

    import sordino

    clean = sordino.denoise(samples, 16000)
    report = sordino.denoise_file("noisy.mp4", "clean.m4a", rate=48000)

The engines are imported on first use: ``import sordino`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sordino.version import __version__

if TYPE_CHECKING:
    from sordino.audio.arrays import denoise
    from sordino.audio.errors import MediaError, MediaReason, OrderError
    from sordino.audio.order import Dnsmos, Report, SoundQuality
    from sordino.audio.process import denoise_file
    from sordino.denoisers import UnknownDenoiserError
    from sordino.denoisers.weights import WeightsError

__all__ = [
    "Dnsmos",
    "MediaError",
    "MediaReason",
    "OrderError",
    "Report",
    "SoundQuality",
    "UnknownDenoiserError",
    "WeightsError",
    "__version__",
    "denoise",
    "denoise_file",
]

_HOMES = {
    "Dnsmos": "sordino.audio.order",
    "MediaError": "sordino.audio.errors",
    "MediaReason": "sordino.audio.errors",
    "OrderError": "sordino.audio.errors",
    "Report": "sordino.audio.order",
    "SoundQuality": "sordino.audio.order",
    "UnknownDenoiserError": "sordino.denoisers",
    "WeightsError": "sordino.denoisers.weights",
    "denoise": "sordino.audio.arrays",
    "denoise_file": "sordino.audio.process",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (the type checkers read the imports above)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
