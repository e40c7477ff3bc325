"""The machine as a picture, like lstopo's: boxes in boxes down to the CPUs.

Self-contained SVG without scripts or fonts of its own; colours follow the reader's light or dark scheme.
All text that comes from the machine is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from toposcope.render.topology_tree import Box, build_tree, headline, node_label, plain
from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.model import Machine

_CELL_WIDTH: Final = 34
_CELL_HEIGHT: Final = 24
_GAP: Final = 6
_PAD: Final = 8
_LINE_HEIGHT: Final = 16
_CHAR_WIDTH: Final = 6.7  # 11 px sans-serif, on the wide side
_TITLE_RATIO: Final = 1.25  # the title is larger and bold
_MAX_OFFLINE_CELLS: Final = 512
_MARK_COLOURS: Final = {"advised": "blue", "busy": "orange"}
_SHAPE_RATIO: Final = 1.7  # of width to height, that rows of boxes aim at

# Every rule is below `.topo`, so that a page can take them over as they are.
STYLE: Final = """
.topo { color-scheme: light dark; font: 11px system-ui, sans-serif; }
.topo text { fill: #1b1f24; } .topo rect { stroke: #57606a; stroke-width: 1; }
.topo .page { fill: #ffffff; stroke: none; } .topo .machine { fill: #f6f8fa; }
.topo .drawer { fill: #eef1f4; } .topo .book { fill: #e6eaef; } .topo .package { fill: #dbe3ec; }
.topo .node { fill: #cfe5d4; } .topo .die { fill: #e3dcf2; } .topo .l3 { fill: #f4e4c8; }
.topo .cluster { fill: #f0dada; }
.topo .l2 { fill: #f7efdc; } .topo .l1 { fill: #faf6ea; } .topo .core { fill: #dfe7f5; }
.topo .cpu { fill: #ffffff; } .topo .busy { fill: #f7c9a8; } .topo .advised { fill: #1f6f8b; }
.topo .advised + text { fill: #ffffff; font-weight: 700; }
.topo .disallowed { fill: #d0d0d0; stroke-dasharray: 3 2; } .topo .isolated { stroke-width: 3; }
.topo .offline { fill: none; stroke-dasharray: 1 3; } .topo .title { font-weight: 600; font-size: 13px; }
@media (prefers-color-scheme: dark) {
.topo text { fill: #e6edf3; } .topo rect { stroke: #8b949e; } .topo .page { fill: #0d1117; }
.topo .machine { fill: #161b22; } .topo .drawer { fill: #1b2129; } .topo .book { fill: #20272f; }
.topo .package { fill: #243040; } .topo .node { fill: #1d3a26; } .topo .die { fill: #33294d; }
.topo .l3 { fill: #4a3a1a; } .topo .cluster { fill: #4a2a2a; } .topo .l2 { fill: #3a3220; }
.topo .l1 { fill: #2e2a1e; } .topo .core { fill: #26324a; } .topo .cpu { fill: #0d1117; }
.topo .busy { fill: #7a3d12; } .topo .advised { fill: #56b6d6; } .topo .advised + text { fill: #06141b; }
.topo .disallowed { fill: #3a3a3a; } .topo .offline { fill: none; }
}
"""


@dataclass(slots=True)
class _Shape:
    """A rectangle with lines of text and shapes in it, at (x, y) in its parent."""

    classes: str
    lines: list[str]
    tooltip: str
    width: float = 0
    height: float = 0
    x: float = 0
    y: float = 0
    inner: Sequence[_Shape] = ()
    cpu: int | None = None


def topology_svg(
    machine: Machine, marked: Mapping[str, Collection[int]] | None = None, *, standalone: bool = True
) -> str:
    """A complete SVG document, ending in a newline.

    `marked` has further marks, as `{"advised": cpus}` or `{"busy": cpus}`. Each CPU's rectangle has its id
    as `data-cpu`. Without `standalone` there is no style in it: it is for a page that has `STYLE`.
    """
    tree = build_tree(machine)
    marks = _marks(machine)
    for mark, cpus in (marked or {}).items():
        for cpu in cpus:
            marks.setdefault(cpu, []).append(mark)
    chars = _label_chars(tree.machine.boxes)
    shapes = [_box_shape(box, marks, chars) for box in tree.machine.boxes]
    shapes += [_framed("node", [node_label(node), "no CPUs"], []) for node in tree.memory_nodes]
    if machine.offline_cpus and len(machine.offline_cpus) <= _MAX_OFFLINE_CELLS:  # the legend lists them, too
        cells = [_cell(cpu, ["offline"]) for cpu in machine.offline_cpus]
        shapes.append(_framed("machine", ["offline"], cells))
    page = _framed("page", [plain(headline(machine)), *_legend(machine, marked or {})], shapes)
    return "\n".join(_document(page, standalone)) + "\n"


def _marks(machine: Machine) -> dict[int, list[str]]:
    """What is special about a CPU, as CSS classes that are words, too."""
    usable, isolated = set(machine.usable_cpus), set(machine.isolated_cpus or ())
    return {
        cpu: (["disallowed"] if cpu not in usable else []) + (["isolated"] if cpu in isolated else [])
        for cpu in machine.online_cpus
    }


def _legend(machine: Machine, marked: Mapping[str, Collection[int]]) -> list[str]:
    lines = [
        f"{_MARK_COLOURS[mark]}: {mark} ({format_cpulist(sorted(cpus))})" for mark, cpus in marked.items()
    ]
    if len(machine.usable_cpus) < len(machine.online_cpus):
        lines.append(
            f"grey, dashed: not allowed to this process (allowed: {format_cpulist(machine.usable_cpus)})"
        )
    if machine.isolated_cpus:
        lines.append(f"thick border: isolated from the scheduler ({format_cpulist(machine.isolated_cpus)})")
    if machine.offline_cpus:
        lines.append(f"dotted: offline ({format_cpulist(machine.offline_cpus)})")
    return [line if len(line) < 100 else line[:99] + "…" for line in lines]


def _cell(cpu: int, marks: Sequence[str]) -> _Shape:
    tooltip = ", ".join([f"CPU {cpu}", *marks])
    width = max(_CELL_WIDTH, len(str(cpu)) * 9)
    return _Shape(" ".join(["cpu", *marks]), [str(cpu)], tooltip, width, _CELL_HEIGHT, cpu=cpu)


def _label_chars(boxes: Iterable[Box]) -> dict[str, int]:
    """The longest label of each kind: where core 10 has room, core 9 gets as much, so that rows line up."""
    chars: dict[str, int] = {}
    for box in boxes:
        for kind, length in [
            *_label_chars(box.boxes).items(),
            *((box.kind, len(name)) for _, name in box.names),
        ]:
            chars[kind] = max(chars.get(kind, 0), length)
    return chars


def _box_shape(box: Box, marks: dict[int, list[str]], chars: Mapping[str, int]) -> _Shape:
    inner = [_box_shape(child, marks, chars) for child in box.boxes]
    covered = {cpu for child in box.boxes for cpu in child.cpus}
    inner += [_cell(cpu, marks[cpu]) for cpu in box.cpus if cpu not in covered]
    return _framed(box.kind, [plain(label) for _, label in box.names], inner, chars[box.kind])


def _framed(kind: str, lines: list[str], inner: Sequence[_Shape], chars: int = 0) -> _Shape:
    """A frame with its lines above its inner shapes, which are placed in rows; wide enough for `chars`."""
    head = len(lines) * _LINE_HEIGHT + _PAD / 2
    char_width = _CHAR_WIDTH * _TITLE_RATIO if kind == "page" else _CHAR_WIDTH
    text_width = max([chars, *map(len, lines)]) * char_width + 2 * _PAD
    width, height = _place(inner, _PAD, head + _PAD / 2, text_width - 2 * _PAD)
    return _Shape(kind, lines, ", ".join(lines), max(width + _PAD, text_width), height + _PAD, inner=inner)


def _place(shapes: Sequence[_Shape], left: float, top: float, least_width: float) -> tuple[float, float]:
    """Set x and y of shapes, row by row; returns the right and lower edge of them all."""
    area = sum((shape.width + _GAP) * (shape.height + _GAP) for shape in shapes)
    limit = (
        max([math.sqrt(area * _SHAPE_RATIO), least_width, *(shape.width for shape in shapes)])
        if shapes
        else 0
    )
    x, y, row_height, right, bottom = left, top, 0.0, left, top
    for shape in shapes:
        if x > left and x + shape.width > left + limit + 1:
            x, y, row_height = left, y + row_height + _GAP, 0.0
        shape.x, shape.y = x, y
        row_height = max(row_height, shape.height)
        right, bottom = max(right, x + shape.width), max(bottom, y + shape.height)
        x += shape.width + _GAP
    return right, bottom


def _document(page: _Shape, standalone: bool) -> Iterator[str]:
    width, height = math.ceil(page.width), math.ceil(page.height)
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" class="topo" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" role="img" aria-label={quoteattr(page.lines[0])}>')  # fmt: skip
    if standalone:
        yield f"<style>{STYLE}</style>"
    yield from _drawn(page, 0, 0)
    yield "</svg>"


def _drawn(shape: _Shape, left: float, top: float) -> Iterator[str]:
    x, y = left + shape.x, top + shape.y
    yield f"<g><title>{escape(shape.tooltip)}</title>"
    cpu = "" if shape.cpu is None else f' data-cpu="{shape.cpu}"'
    yield (f'<rect class="{shape.classes}"{cpu} x="{x:g}" y="{y:g}" rx="3" '
           f'width="{shape.width:g}" height="{shape.height:g}"/>')  # fmt: skip
    for number, line in enumerate(shape.lines):
        baseline = y + 16 + number * _LINE_HEIGHT
        css = ' class="title"' if shape.classes == "page" and number == 0 else ""
        yield f'<text{css} x="{x + _PAD:g}" y="{baseline:g}">{escape(line)}</text>'
    for inner in shape.inner:
        yield from _drawn(inner, x, y)
    yield "</g>"
