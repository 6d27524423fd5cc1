"""``pipeline metrics``."""

from __future__ import annotations

import click

from pipeline.cli.common import Context, command_options, today
from pipeline.model.errors import ExitCode, PipelineError
from pipeline.workflows.metrics.archive import archive_values
from pipeline.workflows.metrics.delivery import ARCHIVE_FILE, deliver
from pipeline.workflows.metrics.exposed import text_of


@click.command()
@click.option("--deliver", "delivers", is_flag=True, help="Push and write them as configured; print nothing.")
@command_options
def metrics(context: Context, delivers: bool) -> int:
    """Print what is known about the archive, in Prometheus' text format, without Spark and without the lease."""
    context.archive(to_read=True)
    values, errors = archive_values(context, today())
    if delivers:
        deliver(context.config.metrics, {ARCHIVE_FILE: values})
    elif not context.output.result(
        [
            {"metric": metric.full_name, **dict(zip(metric.labels, labels, strict=True)), "value": value}
            for metric, found in values.items()
            for labels, value in found.items()
        ]
    ):
        click.echo(text_of(values), nl=False)
    codes = [error.exit_code if isinstance(error, PipelineError) else ExitCode.RUN_FAILED for error in errors]
    return next(iter(codes), ExitCode.DONE)
