"""Many nights against a model: repositories that change, runs that are killed; every night must restore."""
