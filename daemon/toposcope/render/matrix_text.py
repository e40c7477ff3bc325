"""A matrix in the terminal: numbers where they fit, else shades; in topology order where it is known.

Shades follow a logarithmic scale with fixed steps, which the legend names, and a table gives the numbers by
relation. Readable at 80 columns, without colour, and piped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from toposcope.matrix import Matrix
from toposcope.render.matrix_svg import Grid, grid_in
from toposcope.render.order import Order, topology_order
from toposcope.render.scale import Scale, number, scale_of
from toposcope.render.terminal import PIPE_WIDTH, show
from toposcope.topology.model import RELATIONS, Machine

# From near to far; five steps stay apart in every terminal and on paper.
_SHADES: Final = " ░▒▓█"
_ABSENT: Final = "·"
_CELL_WIDTH: Final = 6


def print_matrix(
    matrix: Matrix, machine: Machine | None = None, console: Console | None = None, *, unit: str = "ns"
) -> None:
    """Print the matrix with its CPU ids; one that is wider than the terminal as a picture of shades."""
    console = console or Console(highlight=False)
    width = console.width if console.is_terminal else min(console.width, PIPE_WIDTH)
    order = topology_order(machine, matrix.cpus)
    grid = grid_in(matrix, order)
    if _CELL_WIDTH * (len(order.cpus) + 1) <= width:
        lines = _numbers(order, grid)
    else:
        lines = _shades(order, grid, width, unit)
    relations = _by_relation(matrix, machine, unit) if machine else ()
    show(*(Text(line) for line in itertools.chain(lines, relations)), console=console)


def _numbers(order: Order, grid: Grid) -> Iterator[str]:
    yield " " * _CELL_WIDTH + "".join(f"{cpu:>{_CELL_WIDTH}}" for cpu in order.cpus)
    for cpu, row in zip(order.cpus, grid, strict=True):
        cells = (_ABSENT if value is None else _exact(value) for value in row)
        yield f"{cpu:>{_CELL_WIDTH}}" + "".join(f"{cell:>{_CELL_WIDTH}}" for cell in cells)


def _exact(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _shades(order: Order, grid: Grid, width: int, unit: str) -> Iterator[str]:
    """One character a cell; several CPUs that are neighbours in the order share one where there are many."""
    scale = scale_of((value for row in grid for value in row if value is not None), len(_SHADES))
    if scale is None:
        yield "nothing was measured yet"
        return
    step = _cpus_to_a_character(order, max(1, width - 8))
    starts = range(0, len(order.cpus), step)
    for start in starts:
        shades = (_shade(_median(grid, start, column, step), scale) for column in starts)
        yield f"{order.cpus[start]:>6} " + "".join(shades)
    many = f", {step} to a character (their median)" if step > 1 else ""
    yield f"CPUs in topology order{many}; {_ABSENT} not measured"
    yield from _legend(scale, unit)


def _cpus_to_a_character(order: Order, room: int) -> int:
    """As few as there is room for, or up to twice as many, if every domain then begins with a character."""
    least = -(-len(order.cpus) // room)
    if least == 1:
        return 1
    fits = (step for step in range(least, 2 * least + 1)
            if not any(domain.start % step or domain.end % step for domain in order.domains))  # fmt: skip
    return next(fits, least)


def _legend(scale: Scale, unit: str) -> Iterator[str]:
    bounds = list(zip(_SHADES, scale.edges[:-1], scale.edges[1:], strict=True))
    first, last = bounds[0], bounds[-1]
    parts = [f"'{first[0]}' below {number(first[2])}"]
    parts += [f"{shade} {number(low)}–{number(high)}" for shade, low, high in bounds[1:-1]]
    yield f"{unit}: " + "  ".join([*parts, f"{last[0]} from {number(last[1])}"])


def _median(grid: Grid, row: int, column: int, step: int) -> float | None:
    cells = (value for line in grid[row : row + step] for value in line[column : column + step])
    values = sorted(value for value in cells if value is not None)
    return values[len(values) // 2] if values else None


def _shade(value: float | None, scale: Scale) -> str:
    return _ABSENT if value is None else _SHADES[scale.step(value)]


def _by_relation(matrix: Matrix, machine: Machine, unit: str) -> Iterator[str]:
    values: dict[str, list[float]] = {}
    known = set(machine.online_cpus)
    for row, (cpu, cells) in enumerate(zip(matrix.cpus, matrix.symmetric(), strict=True)):
        for other, value in zip(matrix.cpus[row + 1 :], cells[row + 1 :], strict=True):
            if value is not None and cpu in known and other in known:
                values.setdefault(machine.relation(cpu, other), []).append(value)
    if not values:
        return
    yield ""
    yield f"{'relation':<14}{'pairs':>8}{'10 %':>9}{'median':>9}{'90 %':>9}  {unit}"
    for relation in RELATIONS:
        if relation in values:
            yield f"{relation:<14}{_spread(sorted(values[relation]))}"


def _spread(ordered: Sequence[float]) -> str:
    quantiles = (ordered[len(ordered) * share // 10] for share in (1, 5, 9))
    return f"{len(ordered):>8}" + "".join(f"{number(value):>9}" for value in quantiles)
