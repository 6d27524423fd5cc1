"""What an audit finds, and who is to blame."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model.verdict import AUDIT


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with what one network landed, or with a whole bucket.

    Attributes:
        network: None if the bucket as a whole is at fault.
        error: the code that its visits get.
        damaged: the file of the archive that could not be read; "" for none.
    """

    bucket: int
    network: int | None
    problem: str
    error: str = AUDIT
    damaged: str = ""
