"""Use cases of buckets and objects; no HTTP, no XML, no adapters."""
