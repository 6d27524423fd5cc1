"""Headers of a Parquet file's pages, which no checksum covers, against its footer, which has one."""

from __future__ import annotations

from typing import BinaryIO, Final

import pyarrow.parquet as pq

from pipeline.storage.thrift import read_struct, write_struct

_MOST_HEADER_BYTES: Final = 64 << 10
"""More than a header has, with the least and greatest of its values."""

_RAW_BYTES, _STORED_BYTES = 2, 3
"""Numbers of fields in Parquet's ``PageHeader``."""


def a_page_is_too_large(stream: BinaryIO, metadata: pq.FileMetaData) -> bool:
    """Whether a page says that it has more bytes than its column, or has no header: a flipped bit, for which a reader
    asks for gigabytes. Reads all headers, one after the other.

    Args:
        stream: the whole file.
        metadata: its footer.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if any(_is_wrong(stream, group.column(at)) for at in range(group.num_columns)):
            return True
    return False


def _is_wrong(stream: BinaryIO, column: pq.ColumnChunkMetaData) -> bool:
    at = column.data_page_offset
    if column.dictionary_page_offset is not None:
        at = min(at, column.dictionary_page_offset)
    end = at + column.total_compressed_size
    while at < end:
        stream.seek(at)
        try:
            header = read_struct(stream.read(min(_MOST_HEADER_BYTES, end - at)))
            raw, stored = header[_RAW_BYTES].value, header[_STORED_BYTES].value
        except (ValueError, IndexError, KeyError, RecursionError):
            return True
        begin = at + len(write_struct(header))
        if not 0 <= raw <= column.total_uncompressed_size or not 0 <= stored <= end - begin:
            return True
        at = begin + int(stored)
    return False
