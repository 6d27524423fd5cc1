"""The version of this program; no other place defines it."""

__version__ = "0.1.0"
