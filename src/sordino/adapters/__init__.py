"""The ports' adapters: each talks to one part of the world."""
