"""Limits of one visit. Each is a configuration key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MIB = 1 << 20
GIB = 1 << 30


class Limits(BaseModel):
    """Time and size limits for one origin. They bound memory, scratch space and the length of a night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect_s: float = Field(10, gt=0, description="seconds to look up a host, and to connect to each address tried")
    silence_s: float = Field(60, gt=0, description="seconds without a byte from the server")
    total_s: float = Field(3600, gt=0, description="seconds for the whole visit, receiving and decoding")
    refs_bytes: int = Field(64 * MIB, gt=0, description="bytes of ref advertisement")
    pack_bytes: int = Field(20 * GIB, gt=0, description="bytes of pack")
    blob_bytes: int = Field(100 * MIB, gt=0, description="a larger blob is recorded without its bytes")
    memory_bytes: int = Field(
        3 * GIB, ge=256 * MIB, description="bytes of memory for a visit, whose objects take about 500 each"
    )
    scratch_bytes: int = Field(
        100 * GIB, gt=0, description="bytes on scratch: the pack, commits, trees, bases of deltas, contents"
    )
    inflated_bytes: int = Field(200 * GIB, gt=0, description="bytes of all objects of a pack, inflated")
