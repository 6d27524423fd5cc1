"""Repositories and servers that somebody made to hurt the archive, each a short spec with its expected outcome."""
