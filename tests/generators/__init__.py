"""Machines that never existed, with the truth about them, for tests and benchmarks."""
