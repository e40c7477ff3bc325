"""In what a matrix of a pair probe is shown to people; CSV and JSON keep the measure's own unit; pure."""

from __future__ import annotations

from toposcope.matrix import Matrix


def for_people(measure: str) -> tuple[float, str]:
    """By what cells of a measure are multiplied to be shown, and what they are then (first the unit)."""
    if measure.endswith("_bytes_per_s"):
        return 1e-9, "GB/s from the row's CPU to the column's"
    return 1.0, {"latency_ns": "ns one way", "round_trip_ns": "ns there and back"}.get(measure, "ns")


def scaled(matrix: Matrix, factor: float) -> Matrix:
    """The matrix with each cell multiplied."""
    if factor == 1:
        return matrix
    cells = (tuple(None if cell is None else cell * factor for cell in row) for row in matrix.cells)
    return Matrix(matrix.cpus, tuple(cells))
