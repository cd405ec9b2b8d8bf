"""The sound path, run in a process of its own."""

import logging
import math
from collections.abc import Callable
from decimal import Decimal
from typing import BinaryIO

from sordino.audio import order as audio
from sordino.audio import sandbox
from sordino.audio.errors import EngineError, MediaError, MediaReason, OrderError
from sordino.denoisers import names
from sordino.domain.job import Channels, Dnsmos, MediaInfo, NoiseReduction, SoundQuality
from sordino.domain.ports import MediaFailedError, MediaResult

# CI's error table has one code for what an input can be to blame for.
_CODE = "ResourceNotSupported"
_ORDER_CODE = "InvalidArgument"
_SERVER_CODE = "InternalError"

_log = logging.getLogger(__name__)


class ProcessMedia:
    """The port `sordino.domain.ports.Media` over `sordino.audio.sandbox`.

    Args:
        denoiser: name of the engine of jobs that name none.
        max_seconds: decoded audio of a job, seconds.
        memory_bytes: address space a job may add, bytes.
        cpu_seconds: CPU time of a job, seconds.
        wall_seconds: time of a job from its start to its end, seconds.
    """

    def __init__(
        self,
        *,
        denoiser: str,
        max_seconds: float,
        memory_bytes: int,
        cpu_seconds: int,
        wall_seconds: float = 7200.0,
    ) -> None:
        self._denoiser = denoiser
        self._limits = audio.MediaLimits(
            seconds=max_seconds, memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, wall_seconds=wall_seconds
        )

    def warm(self) -> None:
        """Load the engine in the background now, so that the first job need not wait for it."""
        sandbox.warm(self._denoiser)

    async def denoise(
        self, source: BinaryIO, target: BinaryIO, order: NoiseReduction, on_progress: Callable[[int], None]
    ) -> MediaResult:
        """See `sordino.domain.ports.Media.denoise`.

        Raises:
            MediaFailedError: the input cannot be processed, or the engine not be loaded; trying again would not help.
            MediaCrashedError: the process died through no fault of the input's; trying again may help.
        """
        try:
            report = await sandbox.run(source, target, self._wanted(order), self._limits, on_progress)
        except MediaError as error:
            raise MediaFailedError(_CODE, _message(error)) from error
        except OrderError as error:
            raise MediaFailedError(_ORDER_CODE, f"The order cannot be carried out: {error}.") from error
        except EngineError as error:
            raise self._without_engine(order, error) from error
        return MediaResult(info=_info(report), note=report.note)

    def _wanted(self, order: NoiseReduction) -> audio.MediaOrder:
        """The order in the sound path's terms.

        Raises:
            OrderError: the sound path does not take it.
            MediaFailedError: there is no such engine, or no longer: the job may have waited for an upgrade.
        """
        if order.model is not None:
            _check_installed(order.model)
        return audio.MediaOrder(
            format=audio.MediaFormat(order.format),
            rate=order.sample_rate,
            denoiser=order.model or self._denoiser,
            strength=audio.FULL_STRENGTH if order.strength is None else order.strength,
            channels=audio.Channels(order.channels or Channels.MIX),
            loudness=float(order.loudness) if isinstance(order.loudness, Decimal) else order.loudness,
            video=order.video,
        )

    def _without_engine(self, order: NoiseReduction, error: EngineError) -> MediaFailedError:
        """The end of a job whose engine is not there; what exactly is missing, and where, is for the log."""
        _log.error("the engine %s cannot be loaded: %s", order.model or self._denoiser, error)
        way_out = "ask" if order.model is None else "name another Model or none, or ask"
        return MediaFailedError(
            _SERVER_CODE,
            f"The server cannot load the engine {order.model or self._denoiser!r}; {way_out} the operator of the "
            "service, whose log tells what is missing.",
        )


def _check_installed(model: str) -> None:
    if model not in names():
        raise MediaFailedError(
            _ORDER_CODE, f"The engine {model!r} is not installed here; use one of {', '.join(names())}."
        )


def _info(report: audio.Report) -> MediaInfo:
    return MediaInfo(
        duration=report.seconds,
        sample_rate=report.rate,
        channels=report.channels,
        size=report.size,
        format_name=report.format_name,
        codec_name=report.codec_name,
        video=report.video,
        before=_quality(report.before),
        after=_quality(report.after),
    )


def _quality(sound: audio.SoundQuality | None) -> SoundQuality | None:
    if sound is None:
        return None
    return SoundQuality(
        noise_floor=_finite(sound.noise_floor),
        snr=_finite(sound.snr),
        loudness=_finite(sound.loudness),
        clipped=sound.clipped,
        dnsmos=_dnsmos(sound.dnsmos),
    )


def _finite(level: float | None) -> float | None:
    """The level; None for one that JSON cannot hold: no measurement may cost a job its result."""
    return level if level is not None and math.isfinite(level) else None


def _dnsmos(scores: audio.Dnsmos | None) -> Dnsmos | None:
    if scores is None:
        return None
    return Dnsmos(signal=scores.signal, background=scores.background, overall=scores.overall)


def _message(error: MediaError) -> str:
    """The message for the job; a limit is the server's setting, so it says whom to ask."""
    if error.reason in (MediaReason.TOO_LONG, MediaReason.RESOURCE):
        return f"{error.message.rstrip('.')}, or ask the operator of the service for a higher limit."
    return error.message
