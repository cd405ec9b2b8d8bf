"""Bytes to domain values and back; no I/O, and the only place that imports lxml."""
