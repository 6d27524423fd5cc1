"""Arbitrary bytes for every parser of bytes from outside. See docs/fuzzing.md."""
