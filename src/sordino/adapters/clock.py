"""The system's clock."""

from datetime import UTC, datetime


class SystemClock:
    """``ports.Clock`` over the operating system's time."""

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)
