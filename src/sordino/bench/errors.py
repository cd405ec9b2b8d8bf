"""What can keep a measurement from being made."""


class BenchError(Exception):
    """Something is missing or not as it must be; the message says what, and what to do."""
