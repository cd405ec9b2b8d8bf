"""Sordino: audio noise reduction as a library, a command line and a service that speaks Cloud Infinite's protocol."""

from sordino.version import __version__

__all__ = ["__version__"]
