"""A driver in a process of its own: runs a job on a cluster, and says where executors' Python found this package.

python -m tests.masters.as_client CONFIG JOB REQUIREMENTS
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow

import pipeline
from pipeline.context.config import load_config
from pipeline.context.workplace import Workplace
from pipeline.read.submit.requirements import installed
from pipeline.read.submit.run_job import Manner, run_job
from pipeline.storage.factory import open_storage


def found_at(batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
    for _ in batches:
        yield pyarrow.RecordBatch.from_pydict({"path": [pipeline.__file__]})


def main(config_path: Path, job: str, requirements: Path) -> None:
    logging.basicConfig(level="INFO")
    logging.getLogger("py4j").setLevel("WARNING")
    config, libraries = load_config(config_path), installed(requirements)
    config = config.model_copy(update={"spark": libraries.applied(config.spark)})
    place = Workplace(config, open_storage(config.archive.location, config.hdfs))
    spark = place.spark()
    rows = [row.asDict() for row in run_job(spark, place.storage, job, [], None, Manner(libraries=libraries)).collect()]
    paths = [row.path for row in spark.range(2).mapInArrow(found_at, "path string").collect()]
    conf = {key: value for key, value in spark.sparkContext.getConf().getAll() if key.startswith("spark.executor")}
    print(json.dumps({"rows": rows, "paths": paths, "conf": conf}, default=str))
    spark.stop()


if __name__ == "__main__":
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
