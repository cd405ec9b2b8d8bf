"""Use cases: what happens to a job from its submission to its end; no HTTP, no XML, no adapters."""
