"""A prepared process does without pandas until somebody wants it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from pipeline.storage.preparation import prepare_process
prepare_process(pandas=False)
import pyarrow as pa
assert pa.array(["a", None]).to_pylist() == ["a", None]
print("pandas" in sys.modules)
import pandas as pd
values = pd.Series([1.0, None])
print(pa.array(values, from_pandas=True).to_pylist(), pa.array(values).to_pylist())
print(pa.Table.from_pandas(pd.DataFrame({"a": values})).to_pydict())
print(pa.table({"a": ["b"]}).to_pandas()["a"].to_list(), pa.array(values).to_pylist())
"""


def test_pyarrow_imports_pandas_only_for_those_who_want_it() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["False", "[1.0, None] [1.0, nan]", "{'a': [1.0, None]}", "['b'] [1.0, None]"]
