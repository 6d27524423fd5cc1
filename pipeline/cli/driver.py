"""The driver of ``pipeline submit`` on a node of YARN: Spark runs this file, which runs the job."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from pipeline.cli.common import Context, Night, command_options
from pipeline.cli.job_options import sample_option, sampled, skip_option
from pipeline.read.submit.run_job import Manner, run_job
from pipeline.tables.libraries import Libraries
from pipeline.tables.session import open_submitted


@click.command()
@click.argument("job")
@click.argument("argv", nargs=-1)
@click.option("--night", type=Night(), required=True)
@sample_option
@skip_option
@click.option("--requirements", help="Digest of the packages in the folder of this name.")
@click.option("--environment", help="Digest of the environment in the folder of this name, whose Python runs this.")
@command_options
def drive(
    context: Context,
    job: str,
    argv: tuple[str, ...],
    night: date,
    sample: float | None,
    skip_bad: bool,
    requirements: str | None,
    environment: str | None,
) -> None:
    """Run a job and store its result; its submitter shows it."""
    context.archive()
    spark = open_submitted(context.config.spark, context.storage.root_uri)
    libraries = None
    if requirements is not None:
        libraries = Libraries("requirements", requirements, Path("requirements"))
    elif environment is not None:
        libraries = Libraries("environment", environment, Path("environment"))
    run_job(spark, context.storage, job, argv, night, Manner(sampled(sample), skip_bad, libraries=libraries))


if __name__ == "__main__":
    drive()
