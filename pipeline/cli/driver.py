"""The driver of ``pipeline submit`` on a node of YARN: Spark runs this file, which runs the job."""

from __future__ import annotations

from datetime import date

import click

from pipeline.cli.common import Context, Night, command_options
from pipeline.cli.job_options import sample_option, sampled, skip_option
from pipeline.read.submit.run_job import Manner, run_job
from pipeline.tables.session import open_submitted


@click.command()
@click.argument("job")
@click.argument("argv", nargs=-1)
@click.option("--night", type=Night(), required=True)
@sample_option
@skip_option
@command_options
def drive(context: Context, job: str, argv: tuple[str, ...], night: date, sample: float | None, skip_bad: bool) -> None:
    """Run a job and store its result; its submitter shows it."""
    context.archive()
    spark = open_submitted(context.config.spark, context.storage.root_uri)
    run_job(spark, context.storage, job, argv, night, Manner(sampled(sample), skip_bad))


if __name__ == "__main__":
    drive()
