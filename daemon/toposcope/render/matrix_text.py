"""A matrix in the terminal: numbers where they fit, else shades by topology domain."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from toposcope.matrix import Matrix
from toposcope.topology.model import Machine

# From near (dark) to far (light); five steps stay apart in every terminal and on paper.
_SHADES = " ░▒▓█"
_CELL_WIDTH = 6


def print_matrix(matrix: Matrix, machine: Machine | None = None, console: Console | None = None) -> None:
    """Print the matrix with its CPU ids; wider ones than the terminal as a picture of shades."""
    del machine  # the ids' own order is the one that people look up
    console = console or Console(highlight=False)
    if _CELL_WIDTH * (len(matrix.cpus) + 1) <= console.width:
        _print_numbers(matrix, console)
    else:
        _print_shades(matrix, console)


def _print_numbers(matrix: Matrix, console: Console) -> None:
    console.print(" " * _CELL_WIDTH + "".join(f"{cpu:>{_CELL_WIDTH}}" for cpu in matrix.cpus))
    for cpu, row in zip(matrix.cpus, matrix.cells, strict=True):
        cells = "".join(f"{_number(value):>{_CELL_WIDTH}}" for value in row)
        console.print(f"{cpu:>{_CELL_WIDTH}}{cells}")


def _number(value: float | None) -> str:
    if value is None:
        return "·"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _print_shades(matrix: Matrix, console: Console) -> None:
    """One character a cell; several neighbouring CPUs share one where there are too many."""
    known = sorted(value for row in matrix.cells for value in row if value is not None)
    if not known:
        console.print("nothing was measured yet")
        return
    step = -(-len(matrix.cpus) // max(1, console.width - 8))
    for start in range(0, len(matrix.cpus), step):
        line = Text(f"{matrix.cpus[start]:>6} ")
        for column in range(0, len(matrix.cpus), step):
            line.append(_shade(_median(matrix, start, column, step), known))
        console.print(line, soft_wrap=True)
    bounds = [known[min(len(known) - 1, len(known) * share // 4)] for share in range(5)]
    legend = "  ".join(f"{shade!r} {bound:.3g}" for shade, bound in zip(_SHADES, bounds, strict=True))
    console.print(f"shades from near to far, ns: {legend}; · not measured")


def _median(matrix: Matrix, row: int, column: int, step: int) -> float | None:
    values = sorted(
        value
        for cells in matrix.cells[row : row + step]
        for value in cells[column : column + step]
        if value is not None
    )
    return values[len(values) // 2] if values else None


def _shade(value: float | None, known: list[float]) -> str:
    if value is None:
        return "·"
    low, high = known[0], known[-1]
    share = (value - low) / (high - low) if high > low else 0.0
    return _SHADES[min(len(_SHADES) - 1, int(share * len(_SHADES)))]
