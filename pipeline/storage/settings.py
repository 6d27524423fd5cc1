"""How to reach HDFS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from pipeline.model.errors import UsageError

WebHdfsUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/;@?#\\\s]+/?$")]


class HdfsSettings(BaseModel):
    """Addresses, identity and limits of the WebHDFS client."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhdfs_urls: tuple[WebHdfsUrl, ...] = Field(
        min_length=1,
        description="WebHDFS or HttpFS addresses, http://host:port; with several, dead and standby ones are skipped.",
    )
    auth: Literal["none", "kerberos", "token"] = Field(
        default="none",
        description="How to authenticate: 'none' sends the user's name, 'kerberos' uses the ticket cache, "
        "'token' sends a delegation token.",
    )
    user: str | None = Field(
        default=None, description="User name for auth 'none'; default: the user that runs the process."
    )
    token: SecretStr | None = Field(default=None, description="Delegation token for auth 'token'.")
    token_file: Path | None = Field(
        default=None, description="File that has it, which counts more than the token itself."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities that sign https addresses; default: the public ones."
    )
    connect_timeout_s: float = Field(
        default=15.0, gt=0, description="Seconds to connect, and for a stalled server to accept more bytes."
    )
    read_timeout_s: float = Field(default=60.0, gt=0, description="Seconds of silence while waiting for an answer.")
    attempts: int = Field(default=4, ge=1, description="Attempts of a call that may safely be repeated.")
    first_pause_s: float = Field(
        default=0.5, ge=0, description="Seconds before the second attempt; doubles each time, up to 10."
    )
    give_up_after_s: float = Field(
        default=180.0, gt=0, description="Seconds after a call's start during which further attempts begin."
    )
    block_size_bytes: int | None = Field(
        default=None, gt=0, description="HDFS block size of new files; default: the cluster's."
    )
    replication: int | None = Field(
        default=None, gt=0, description="Number of replicas of new files; default: the cluster's."
    )
    read_ahead_bytes: int = Field(
        default=1 << 20, ge=1024, description="Bytes that a small read of an open file fetches at once."
    )

    @model_validator(mode="after")
    def _token_given(self) -> Self:
        given = self.token is not None or self.token_file is not None
        if given != (self.auth == "token"):
            raise ValueError("token: set it, or token_file, if and only if auth is 'token'")
        return self

    @property
    def delegation_token(self) -> SecretStr | None:
        """The token, from its file if there is one.

        Raises:
            UsageError: there is no token in the file.
        """
        if self.token_file is None:
            return self.token
        try:
            found = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            found = ""
        if not found:
            raise UsageError(f"hdfs.token_file: there is no token in the file {self.token_file}")
        return SecretStr(found)
