"""HTTP only: a handler parses, calls and renders."""
