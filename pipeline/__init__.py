"""The platform, room by room; docs/architecture.md is the map."""

import os

__version__ = "0.1.0"

os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
"""For Arrow, which reads it when it is loaded, here, in children and in Python workers. With huge pages its
memory is cleared by 2 MB at a time, used or not: a third of the CPU of a small fetch.
"""
