"""The archive's files, in local folders or on HDFS, behind one small interface.

Only this package imports HdfsCLI. ``open_storage`` turns a location into a ``Storage``; ``Lease`` allows one run at a
time to write an archive.
"""

from pipeline.storage.errors import (
    AlreadyThere,
    FileMissing,
    LeaseLost,
    StorageError,
    StorageUnavailable,
    UploadMismatch,
)
from pipeline.storage.factory import open_storage
from pipeline.storage.interface import Entry, Storage, Uploaded
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.paths import is_temporary
from pipeline.storage.settings import HdfsSettings

__all__ = [
    "AlreadyThere",
    "Entry",
    "FileMissing",
    "HdfsSettings",
    "Lease",
    "LeaseLost",
    "Owner",
    "Storage",
    "StorageError",
    "StorageUnavailable",
    "UploadMismatch",
    "Uploaded",
    "is_temporary",
    "open_storage",
]
