"""The sound path, run in a process of its own."""

from collections.abc import Callable
from typing import BinaryIO

from sordino.audio import sandbox
from sordino.audio.errors import MediaError, MediaReason
from sordino.audio.order import MediaFormat, MediaLimits, MediaOrder
from sordino.domain.job import MediaInfo, NoiseReduction
from sordino.domain.ports import MediaFailedError, MediaResult

# CI's error table has one code for what an input can be to blame for.
_CODE = "ResourceNotSupported"


class ProcessMedia:
    """The port `sordino.domain.ports.Media` over `sordino.audio.sandbox`.

    Args:
        denoiser: name of the engine.
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
        self._limits = MediaLimits(
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
            MediaFailedError: the input cannot be processed; trying again would not help.
            MediaCrashedError: the process died through no fault of the input's; trying again may help.
        """
        wanted = MediaOrder(format=MediaFormat(order.format), rate=order.sample_rate, denoiser=self._denoiser)
        try:
            report = await sandbox.run(source, target, wanted, self._limits, on_progress)
        except MediaError as error:
            raise MediaFailedError(_CODE, _message(error)) from error
        info = MediaInfo(
            duration=report.seconds,
            sample_rate=report.rate,
            channels=report.channels,
            size=report.size,
            format_name=report.format_name,
            codec_name=report.codec_name,
        )
        return MediaResult(info=info, note=report.note)


def _message(error: MediaError) -> str:
    """The message for the job; a limit is the server's setting, so it says whom to ask."""
    if error.reason in (MediaReason.TOO_LONG, MediaReason.RESOURCE):
        return f"{error.message.rstrip('.')}, or ask the operator of the service for a higher limit."
    return error.message
