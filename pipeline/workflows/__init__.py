"""Luigi. Its first import warns of a default that it will change one day and that nothing here relies on."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"\s*Autoloading range tasks", DeprecationWarning)
    import luigi  # noqa: F401
