"""Who talks to whom, from text: CSV lines `source,target,weight` or the same as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Final

from toposcope.advise.request import MAX_EDGES, Edge
from toposcope.errors import UsageError

MAX_TEXT_BYTES: Final = 8 << 20
_HINT: Final = "one line an edge: source,target,weight with workers from 0; or JSON [[0, 1, 2.5], …]"


def parse_communication(text: str, *, name: str) -> tuple[Edge, ...]:
    """The edges in a CSV or JSON text; `name` is what errors call it. The weight may be left out (1).

    Raises UsageError with line or number of the edge.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise UsageError(
            f"{name}: longer than {MAX_TEXT_BYTES} bytes", f"at most {MAX_EDGES} edges can be weighed"
        )
    rows = _json_rows(text, name) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text)
    edges: list[Edge] = []
    for where, row in rows:
        if len(edges) == MAX_EDGES:
            raise UsageError(f"{name}: more than {MAX_EDGES} edges", "leave out those that matter least")
        edges.append(_edge(row, f"{name}: {where}"))
    if not edges:
        raise UsageError(f"{name}: no edge in it", _HINT)
    return tuple(edges)


def _csv_rows(text: str) -> Iterable[tuple[str, list[object]]]:
    for number, row in enumerate(csv.reader(text.lstrip("\ufeff").splitlines()), 1):
        cells: list[object] = [cell.strip() for cell in row]
        is_header = number == 1 and bool(cells) and not str(cells[0]).lstrip("-").isdigit()
        if any(cells) and not is_header:
            yield f"line {number}", cells


def _json_rows(text: str, name: str) -> Iterable[tuple[str, list[object]]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not JSON ({error})", _HINT) from error
    if isinstance(document, dict):
        document = document.get("edges")
    if not isinstance(document, list):
        raise UsageError(f"{name}: holds no list of edges", _HINT)
    for number, item in enumerate(document):
        if isinstance(item, dict):
            yield f"edge {number}", [item.get("source"), item.get("target"), item.get("weight", 1)]
        else:
            yield f"edge {number}", item if isinstance(item, list) else [item]


def _edge(row: list[object], where: str) -> Edge:
    if len(row) not in (2, 3):
        raise UsageError(f"{where}: {len(row)} values instead of 2 or 3", _HINT)
    source, target = (_whole(cell, where) for cell in row[:2])
    weight = row[2] if len(row) == 3 and row[2] != "" else 1
    try:
        number = float(weight) if isinstance(weight, str | int | float) else None
    except (ValueError, OverflowError):
        number = None
    if number is None:
        raise UsageError(f"{where}: {str(weight)[:20]!r} is not a weight", _HINT)
    return Edge(source, target, number)


def _whole(cell: object, where: str) -> int:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return cell
    if isinstance(cell, str) and cell.isascii() and cell.isdigit() and len(cell) < 10:
        return int(cell)
    raise UsageError(f"{where}: {str(cell)[:20]!r} is not a worker's number", _HINT)
