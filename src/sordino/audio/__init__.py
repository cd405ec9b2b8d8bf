"""Samples in, samples out: the sound path, which knows nothing of the service."""
