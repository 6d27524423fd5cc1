"""Bytes that nobody meant to send, for every parser that meets bytes from outside. See docs/fuzzing.md."""
