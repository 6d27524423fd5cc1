"""``pipeline jobs``."""

from __future__ import annotations

import click

from pipeline.cli.common import Context, command_options
from pipeline.read.submit.find_job import list_jobs


@click.command()
@command_options
def jobs(context: Context) -> None:
    """List the jobs."""
    found = list_jobs()
    if not context.output.result(found):
        context.output.table(None, ["job", "what it does"], [(job.name, job.description) for job in found])
