"""Why the listing of a forge stops before its end. What is written stays, and the next crawl goes on after it."""

from __future__ import annotations

from pipeline.model.errors import ExitCode, PipelineError


class ListingStopped(PipelineError):
    """A listing cannot go on: ``page`` is where it stands, ``code`` the error's, as in visits."""

    exit_code = ExitCode.SOME_ORIGINS_FAILED

    def __init__(self, forge: str, page: str, code: str, why: str) -> None:
        super().__init__(forge, page, code, why)
        self.forge, self.page, self.code, self.why = forge, page, code, why

    def __str__(self) -> str:
        return f"{self.forge}: {self.page} could not be listed ({self.code}): {self.why}"


class ListingDeferred(ListingStopped):
    """The forge's host is left alone for a while, or its requests are spent: no failure."""

    exit_code = ExitCode.DONE

    def __str__(self) -> str:
        return f"{self.forge}: {self.page} is put off ({self.code}): {self.why}"


class ListedTwice(PipelineError):
    """Another process lists the same forge."""

    exit_code = ExitCode.ARCHIVE_HELD

    def __init__(self, forge: str) -> None:
        super().__init__(forge)
        self.forge = forge

    def __str__(self) -> str:
        return f"{self.forge}: another crawl lists this forge; nothing was lost, wait for it"


class PassGivenUp(ListedTwice):
    """Another process gave up the pass that this one was listing."""

    def __str__(self) -> str:
        return f"{self.forge}: another crawl gave this pass up, and lists the forge anew; nothing was lost, wait for it"


CODES_OF_A_PLACE = ("bad_page", "endless", "limit_exceeded", "protocol")
"""Codes of errors that may be due to where a listing stands, so that another pass may do without them. All others, such
as a login or a host that is down, would stop it as well."""
