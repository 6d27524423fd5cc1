"""Repositories and servers made to hurt the archive, each a short spec with its expected outcome."""
