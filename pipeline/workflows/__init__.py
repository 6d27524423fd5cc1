"""Luigi. Its first import warns of a future change of a default that nothing here relies on."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"\s*Autoloading range tasks", DeprecationWarning)
    import luigi  # noqa: F401
