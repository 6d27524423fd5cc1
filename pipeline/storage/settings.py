"""How to reach HDFS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

WebHdfsUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/;@?#\\\s]+/?$")]


class HdfsSettings(BaseModel):
    """Addresses, identity and limits of the WebHDFS client."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhdfs_urls: tuple[WebHdfsUrl, ...] = Field(
        min_length=1,
        description="WebHDFS or HttpFS addresses, http://host:port; with several, a dead or standby one is passed by.",
    )
    auth: Literal["none", "kerberos", "token"] = Field(
        default="none",
        description="How to say who we are: 'none' sends the user's name, 'kerberos' uses the ticket cache, "
        "'token' sends a delegation token.",
    )
    user: str | None = Field(
        default=None, description="User name for auth 'none'; without it, the user that runs the process."
    )
    token: SecretStr | None = Field(default=None, description="Delegation token for auth 'token'.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that sign https addresses; without it, the public ones."
    )
    connect_timeout_s: float = Field(
        default=15.0, gt=0, description="Seconds to wait for a connection, and for a stalled server to take more bytes."
    )
    read_timeout_s: float = Field(default=60.0, gt=0, description="Seconds of silence while waiting for an answer.")
    attempts: int = Field(default=4, ge=1, description="How often a call that may safely be repeated is tried.")
    first_pause_s: float = Field(
        default=0.5, ge=0, description="Seconds before the second attempt; doubles with each further one, up to 10."
    )
    give_up_after_s: float = Field(
        default=180.0, gt=0, description="Seconds from a call's start after which no further attempt begins."
    )
    block_size_bytes: int | None = Field(
        default=None, gt=0, description="HDFS block size of new files; without it, the cluster's default."
    )
    replication: int | None = Field(
        default=None, gt=0, description="Number of replicas of new files; without it, the cluster's default."
    )
    read_ahead_bytes: int = Field(
        default=1 << 20, ge=1024, description="How much one small read of an open file fetches at once."
    )

    @model_validator(mode="after")
    def _token_given(self) -> Self:
        if (self.auth == "token") != (self.token is not None):
            raise ValueError("token: give one exactly when auth is 'token'")
        return self
