"""Where to run things, and why: pure cost models over measured results."""
