"""Whether this machine, its storage and an archive are fit for a night: one module a thing that is looked at."""
