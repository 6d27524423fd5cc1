"""Arithmetic that a formula is written in once, for arrays of numpy here and for Spark's columns elsewhere.

Operators (``+ - * / < & ~``) are those of the values. Spark's counterpart is ``night/column_arithmetic.py``.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

Values: TypeAlias = Any
"""A number, an array of them, or a column."""


class Arithmetic(Protocol):
    """The functions that a formula may use; each takes and returns numbers, arrays or columns of them."""

    def where(self, condition: Values, then: Values, otherwise: Values) -> Values:
        """``then`` where the condition holds."""

    def least(self, one: Values, other: Values) -> Values:
        """The smaller one."""

    def greatest(self, one: Values, other: Values) -> Values:
        """The larger one."""

    def exp(self, x: Values) -> Values:
        """e to the power of x."""

    def expm1(self, x: Values) -> Values:
        """The same less 1, exact near 0."""

    def log(self, x: Values) -> Values:
        """The natural logarithm."""

    def log1p(self, x: Values) -> Values:
        """That of 1 + x, exact near 0."""

    def whole(self, x: Values) -> Values:
        """The greatest whole number, of 64 bits, that is not above x."""


class NumpyArithmetic:
    """``Arithmetic`` of numbers and numpy's arrays."""

    where = staticmethod(np.where)
    least = staticmethod(np.minimum)
    greatest = staticmethod(np.maximum)
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)

    @staticmethod
    def whole(x: Values) -> Values:
        """As in ``Arithmetic``."""
        return np.floor(x).astype(np.int64)


NUMPY: Arithmetic = NumpyArithmetic()
