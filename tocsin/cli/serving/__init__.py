"""Running nodes of this machine: one, or several as workers."""
