"""The platform, room by room; docs/architecture.md is the map. Programs that read an archive use ``pipeline.open``: see
`pipeline.read.api.open`.
"""

import os

from pipeline.model.version import __version__ as __version__
from pipeline.read.api import open as open

os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
"""For Arrow, which reads it when it is loaded, here, in children and in Python workers. With huge pages its
memory is cleared by 2 MB at a time, used or not: a third of the CPU of a small fetch.
"""

os.environ.setdefault("MIMALLOC_PURGE_DELAY", "60000")
"""Milliseconds for which Arrow keeps memory that it does not need. After the default, 10, the next large page would
take memory that is cleared again: a tenth of the CPU of a fetch.
"""
