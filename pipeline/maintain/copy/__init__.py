"""A copy of a whole archive on another storage, and how it becomes an archive of its own."""
