"""Pictures and texts of what we know: the machine, its matrices. Pure: from values to strings."""
