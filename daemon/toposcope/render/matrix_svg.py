"""A matrix as a picture: a heat map in topology order with its legend; 512 CPUs take a second and 3 MB.

Small matrices carry a number and a tooltip in every cell. Large ones are drawn as one path a colour, of
runs of neighbouring cells, since a quarter of a million elements would be slow everywhere.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final

from toposcope.matrix import Matrix
from toposcope.render import svg
from toposcope.render.order import Order, topology_order
from toposcope.render.scale import COLOURS, number, scale_of, text_class
from toposcope.topology.model import Machine

# (at most this many CPUs, pixels a cell)
_CELL_PX: Final = ((4, 52), (16, 40), (26, 32), (64, 12), (128, 6), (256, 4), (384, 3), (1 << 20, 2))
_NUMBERS_CPUS_MAX: Final = 26
_TOOLTIP_CPUS_MAX: Final = 64
_GAPS_PX: Final = (5, 3, 1)  # before a domain, by depth
_LEFT: Final = 58
_TOP: Final = 88
_LABEL_PX: Final = 13  # that a CPU id needs
_SWATCH_PX: Final = 38
_WIDTH_MIN: Final = 560

Grid = list[list[float | None]]


def matrix_svg(
    matrix: Matrix,
    machine: Machine | None,
    operation: str,
    mode: str,
    *,
    standalone: bool = True,
    measured_in: str = "ns one way",
) -> str:
    """The SVG document, ending in a newline; rows are the first CPU of a pair, columns the second.

    `operation` and `mode` are shown as they are; `measured_in` is a unit and more words. Without `standalone`
    it is for a page that has `svg.STYLE`.
    """
    order = topology_order(machine, matrix.cpus)
    return _Picture(order, grid_in(matrix, order), measured_in).draw(operation, mode, standalone=standalone)


def grid_in(matrix: Matrix, order: Order) -> Grid:
    """The cells in that order; a direction that was not measured takes the other one's value."""
    position = {cpu: index for index, cpu in enumerate(matrix.cpus)}
    places = [position[cpu] for cpu in order.cpus]
    columns = list(zip(*matrix.cells, strict=True))
    return [[_either(matrix.cells[row][place], columns[row][place]) for place in places] for row in places]


def _either(there: float | None, back: float | None) -> float | None:
    return back if there is None else there


class _Picture:
    def __init__(self, order: Order, grid: Grid, measured_in: str) -> None:
        self.order = order
        self.measured_in = measured_in
        self.unit = measured_in.partition(" ")[0]
        self.grid = grid
        count = len(order.cpus)
        self.cell = next(px for cpus, px in _CELL_PX if count <= cpus)
        gaps = order.gaps(_GAPS_PX)
        self.offsets = [index * self.cell + sum(gaps[: index + 1]) for index in range(count)]
        self.starts = frozenset(index for index, gap in enumerate(gaps) if gap)
        self.side = self.offsets[-1] + self.cell if count else 0
        self.values = [value for row in grid for value in row if value is not None]
        self.scale = scale_of(self.values)

    def draw(self, operation: str, mode: str, *, standalone: bool) -> str:
        width = max(_LEFT + self.side + 16, _WIDTH_MIN)
        height = _TOP + self.side + 66
        head = f"{operation}: {self.measured_in}, {len(self.order.cpus)} CPUs"
        label = f"Heat map. {head}. {self._summary()}"
        body = [
            svg.text(12, 24, head, "head"),
            svg.text(12, 42, self._summary() + (f" · mode: {mode}" if mode != "live" else ""), "soft"),
            *self._axes(),
            *(self._cells() if len(self.order.cpus) <= _TOOLTIP_CPUS_MAX else self._paths()),
            *self._legend(_TOP + self.side + 24),
        ]
        return svg.document(width, height, label, body, standalone=standalone)

    def _summary(self) -> str:
        if not self.values:
            return "nothing was measured yet"
        low, high = number(min(self.values)), number(max(self.values))
        return f"{low} to {high} {self.unit}, median {number(statistics.median(self.values))} {self.unit}"

    def _axes(self) -> Iterator[str]:
        """CPU ids where there is room, and the names of the outermost domains on both sides."""
        last = -_LABEL_PX * 2.0
        starts = {domain.start for domain in self.order.domains}
        for index, cpu in enumerate(self.order.cpus):
            middle = self.offsets[index] + self.cell / 2
            roomy = self.cell >= _LABEL_PX or (index in starts or index == 0)
            if roomy and middle - last >= _LABEL_PX * (1 if self.cell >= _LABEL_PX else 1.6):
                last = middle
                yield svg.text(_LEFT - 6, _TOP + middle + 4, str(cpu), "soft end")
                yield _turned(_LEFT + middle + 4, _TOP - 6, str(cpu), "soft", -90 if self.cell < 26 else 0)
        for domain in self.order.domains:
            if domain.depth == 0:
                start = self.offsets[domain.start]
                room = self.offsets[domain.end - 1] + self.cell - start
                name = _fitted(domain.label, room)
                yield svg.text(_LEFT + start + room / 2, _TOP - 26, name, "mid")
                yield _turned(20, _TOP + start + room / 2, name, "mid", -90)

    def _cells(self) -> Iterator[str]:
        with_numbers = len(self.order.cpus) <= _NUMBERS_CPUS_MAX
        for row, cpu in enumerate(self.order.cpus):
            for column, other in enumerate(self.order.cpus):
                if cpu == other:
                    continue
                value = self.grid[row][column]
                x, y = _LEFT + self.offsets[column], _TOP + self.offsets[row]
                step = self._step(value)
                paint = 'class="absent"' if step is None else f'fill="{COLOURS[step]}"'
                words = "not measured" if value is None else f"{number(value)} {self.unit}"
                yield f"<g><title>CPU {cpu} → CPU {other}: {words}</title>"
                yield f'<rect x="{x}" y="{y}" width="{self.cell}" height="{self.cell}" {paint}/>'
                if with_numbers and value is not None and step is not None:
                    half = self.cell / 2
                    yield svg.text(x + half, y + half + 4, number(value), f"mid {text_class(step)}")
                yield "</g>"

    def _step(self, value: float | None) -> int | None:
        return None if value is None or self.scale is None else self.scale.step(value)

    def _paths(self) -> Iterator[str]:
        """One path a step: a line as thick as a cell, drawn along each run of equal cells."""
        runs: dict[int | None, list[str]] = {}
        for row, cells in enumerate(self.grid):
            y = _TOP + self.offsets[row] + self.cell / 2
            pen: dict[int | None, int] = {}
            steps: list[int | None] = [None] * len(cells)
            if self.scale is not None:
                steps = self.scale.steps_of(cells)
            for step, start, end in _runs(steps, self.starts | {row, row + 1}, row):
                left, right = self.offsets[start], self.offsets[end] + self.cell
                before = pen.get(step)
                move = f"M{_LEFT + left} {y:g}" if before is None else f"m{left - before} 0"
                runs.setdefault(step, []).append(f"{move}h{right - left}")
                pen[step] = right
        for step, parts in sorted(runs.items(), key=lambda item: -1 if item[0] is None else item[0]):
            paint = 'class="absent"' if step is None else f'fill="none" stroke="{COLOURS[step]}"'
            yield (f'<path shape-rendering="crispEdges" stroke-width="{self.cell}" {paint} '
                   f'd="{"".join(parts)}"/>')  # fmt: skip

    def _legend(self, y: float) -> Iterator[str]:
        if self.scale is None:
            return
        for step in range(self.scale.steps):
            yield (f'<rect x="{_LEFT + step * _SWATCH_PX}" y="{y:g}" width="{_SWATCH_PX}" height="12" '
                   f'fill="{COLOURS[step]}"/>')  # fmt: skip
        for index, edge in enumerate(self.scale.edges):
            if index % 2 == 0:
                yield svg.text(_LEFT + index * _SWATCH_PX, y + 26, number(edge), "soft mid")
        yield svg.text(_LEFT - 8, y + 10, self.unit, "soft end")


def _runs(
    steps: list[int | None], cuts: frozenset[int], diagonal: int
) -> Iterator[tuple[int | None, int, int]]:
    """(step, first, last) of neighbouring cells of one step, cut before each of `cuts`; not the diagonal."""
    start = 0
    for index in range(1, len(steps) + 1):
        if index == len(steps) or index in cuts or steps[index] != steps[start]:
            if start != diagonal:
                yield steps[start], start, index - 1
            start = index


def _fitted(label: str, room_px: float) -> str:
    """The label, or as much of it as has room; at the least its first part."""
    fits = int(room_px / svg.CHAR_WIDTH)
    if len(label) <= fits:
        return label
    short = label.partition(",")[0]
    return short if len(short) <= fits else short[: max(fits - 1, 1)] + "…"


def _turned(x: float, y: float, content: str, classes: str, degrees: int) -> str:
    if not degrees:
        return svg.text(x - 4, y, content, f"{classes} mid")
    return svg.text(x, y, content, classes, f' transform="rotate({degrees} {x:g} {y:g})"')
