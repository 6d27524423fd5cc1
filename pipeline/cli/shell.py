"""``pipeline shell``."""

from __future__ import annotations

from datetime import date

import click
from pyspark.sql import functions

from pipeline.cli.common import Context, command_options, night_option
from pipeline.errors import UsageError
from pipeline.model.tables import ALL
from pipeline.read.archive import Archive


@click.command()
@night_option
@command_options
def shell(context: Context, night: date | None) -> None:
    """Open IPython with the tables of a night: archive, spark, F, and a data frame per table."""
    context.archive()
    try:
        from IPython import start_ipython  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError("`pipeline shell` needs IPython: install this package with its extra [shell]") from None
    archive = Archive(context.spark, night, context.storage)
    archive.night()  # known without Spark, which takes longer to start
    shown, spark = archive.register_views(), archive.spark
    tables = {table.name: spark.table(table.name) for table in ALL}
    context.output.note(
        f"Night {shown or 'none yet'}. archive (Archive), spark (SparkSession), F (its functions), and as data frames: "
        + ", ".join(tables)
    )
    start_ipython(argv=[], user_ns={"archive": archive, "spark": spark, "F": functions, **tables}, display_banner=False)
