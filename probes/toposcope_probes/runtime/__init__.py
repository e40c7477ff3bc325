"""Workloads that any Python interpreter can run, using nothing but its standard library."""
