"""The same Spark as in the tests of tables: one per process."""

from __future__ import annotations

from tests.tables.conftest import pytest_collection_modifyitems, session, spark_root

__all__ = ["pytest_collection_modifyitems", "session", "spark_root"]
