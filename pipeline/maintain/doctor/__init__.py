"""Whether this machine, its storage and an archive are fit for a night: one module per subject."""
