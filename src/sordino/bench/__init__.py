"""Measurements of an installation: how it sounds, how fast it is, what memory it takes; for ``sordino bench``.

Speeds are ratios of CPU times from runs that take turns, since times by themselves tell more of the machine and of what
else it does than of the program.
"""
