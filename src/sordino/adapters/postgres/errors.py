"""What can go wrong with the embedded server."""


class EmbeddedPostgresError(Exception):
    """The server cannot be set up, started or stopped; the message says why and what to do."""
