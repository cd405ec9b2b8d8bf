"""The denoise engines and their registry."""
