"""The phases of discovery: each reads one aspect of the machine and returns values of the model."""
