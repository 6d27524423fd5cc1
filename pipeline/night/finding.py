"""What an audit finds, and which network or bucket is to blame."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model.verdict import AUDIT


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with the rows that one network landed, or with a whole bucket.

    Attributes:
        network: None if the bucket as a whole is at fault.
        error: the error code that its visits get.
        damaged: the file of the archive that could not be read; "" if there is none.
    """

    bucket: int
    network: int | None
    problem: str
    error: str = AUDIT
    damaged: str = ""
