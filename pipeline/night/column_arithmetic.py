"""The arithmetic of ``rules/arithmetic.py`` for Spark's columns."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.rules.arithmetic import Values


class ColumnArithmetic:
    """``Arithmetic`` of columns, and numbers beside them."""

    exp = staticmethod(F.exp)
    expm1 = staticmethod(F.expm1)
    log = staticmethod(F.log)
    log1p = staticmethod(F.log1p)

    @staticmethod
    def where(condition: Column, then: Values, otherwise: Values) -> Column:
        """As in ``Arithmetic``; no condition may be null."""
        return F.when(condition, then).otherwise(otherwise)

    @staticmethod
    def least(one: Values, other: Values) -> Column:
        """As in ``Arithmetic``."""
        return F.least(_column(one), _column(other))

    @staticmethod
    def greatest(one: Values, other: Values) -> Column:
        """As in ``Arithmetic``."""
        return F.greatest(_column(one), _column(other))

    @staticmethod
    def whole(x: Column) -> Column:
        """As in ``Arithmetic``."""
        return F.floor(x)


def _column(value: Values) -> Column:
    return value if isinstance(value, Column) else F.lit(value)


COLUMNS = ColumnArithmetic()
