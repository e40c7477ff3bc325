"""The matrix of latencies between CPUs and its CSV form, which `toposcope matrix` writes and all else reads.

First row: `cpu` and the CPU ids. Each further row: a CPU id and its latencies in nanoseconds one way; the
cell at row i, column j is the pair (i, j). An empty cell was not measured; many tools fill one triangle only.

What is read generously, and why: a byte order mark and CRLF (spreadsheets write them); blank lines; spaces
and quotes around a cell; any order of the rows; `nan` as an empty cell (numpy writes it); values on the
diagonal (dropped: a CPU has no latency to itself); rows that end early and missing rows (not measured, with
a note, so that a truncated file is seen to be one). Zero and negative values are kept: they say that the
clock was too coarse, which is for `infer` to judge. All else is a `MatrixError` that names line, column and
what to do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from toposcope.errors import MatrixError

MAX_CPUS: Final = 2048
MAX_CPU_ID: Final = (1 << 20) - 1
MAX_FILE_BYTES: Final = 128 << 20
MAX_LATENCY_NS: Final = 1e12
_HINT: Final = "the first row is `cpu` and the CPU ids, each further row a CPU id and its latencies in ns"

Row = tuple[float | None, ...]


@dataclass(frozen=True)
class Matrix:
    """Latencies between CPUs: `cells[i][j]` in ns, measured from `cpus[i]` to `cpus[j]`; None = not measured.

    The diagonal is None. `notes` are sentences about what was odd in the file.
    """

    cpus: tuple[int, ...]
    cells: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(set(self.cpus)) == len(self.cpus), "a CPU occurs twice"
        assert len(self.cells) == len(self.cpus), "one row a CPU"
        assert all(len(row) == len(self.cpus) for row in self.cells), "one column a CPU"

    @functools.cached_property
    def _position(self) -> dict[int, int]:
        return {cpu: index for index, cpu in enumerate(self.cpus)}

    def value(self, cpu: int, other: int) -> float | None:
        """The pair's latency in ns: the mean of both directions, or the one that is known, or None.

        A CPU that is not in the matrix was not measured either.
        """
        row, column = self._position.get(cpu), self._position.get(other)
        if row is None or column is None:
            return None
        return _mean(self.cells[row][column], self.cells[column][row])

    def symmetric(self) -> list[list[float | None]]:
        """`value` of all pairs at once: rows and columns in the order of `cpus`."""
        columns = zip(*self.cells, strict=True)
        return [
            [_mean(there, back) for there, back in zip(row, column, strict=True)]
            for row, column in zip(self.cells, columns, strict=True)
        ]


def matrix_of_pairs(cpus: Sequence[int], latency_ns: Mapping[tuple[int, int], float]) -> Matrix:
    """A matrix from measured pairs `{(cpu, other): ns}`; pairs that are absent were not measured."""
    cells = tuple(tuple(latency_ns.get((a, b)) if a != b else None for b in cpus) for a in cpus)
    return Matrix(tuple(cpus), cells)


def read_matrix(path: Path) -> Matrix:
    """Read a CSV file. Raises MatrixError where it can't be read or is no matrix."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MatrixError(f"can't read matrix {path}: {error.strerror}", "name a CSV file") from error
    if len(content) > MAX_FILE_BYTES:
        raise MatrixError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB", f"at most {MAX_CPUS} CPUs")
    try:
        return parse_csv(content.decode("utf-8-sig"), name=str(path))
    except UnicodeDecodeError as error:
        raise MatrixError(f"{path}: byte {error.start} is not UTF-8 text", _HINT) from error


def parse_csv(text: str, *, name: str) -> Matrix:
    """The matrix in a CSV text; `name` is what errors call it. Raises MatrixError."""
    text = text.removeprefix("\N{BOM}").replace("\r\n", "\n").replace("\r", "\n")
    cut = bool(text) and not text.endswith("\n")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip(" \t,")]
    if not lines:
        raise MatrixError(f"{name}: holds no matrix, it is empty", _HINT)
    cpus = _parse_header(lines[0][1], name)
    position = {cpu: index for index, cpu in enumerate(cpus)}
    rows: dict[int, Row] = {}
    short = 0
    for number, line in lines[1:]:
        cells = line.split(",")
        if cut and number == lines[-1][0] and len(cells) <= len(cpus):
            cells.pop()  # the file ends in the middle of a row: `12` may have been `120`
            if not cells:
                continue
        where = f"{name}: line {number}"
        cpu = _cpu_id(cells[0], f"{where}, column 1")
        if cpu not in position:
            raise MatrixError(f"{where}: CPU {cpu} is not in the first row", _HINT)
        if cpu in rows:
            raise MatrixError(f"{where}: a second row for CPU {cpu}", "keep one row a CPU")
        if len(cells) > len(cpus) + 1:
            raise MatrixError(f"{where}: {len(cells) - 1} values for {len(cpus)} CPUs", _HINT)
        short += len(cells) < len(cpus) + 1
        rows[cpu] = _parse_row(cells[1:], len(cpus), position[cpu], where)
    if not rows:
        raise MatrixError(f"{name}: a first row without any row of latencies", _HINT)
    empty: Row = (None,) * len(cpus)
    return Matrix(cpus, tuple(rows.get(cpu, empty) for cpu in cpus), _notes(short, len(cpus) - len(rows)))


def format_csv(matrix: Matrix) -> str:
    """The matrix as CSV text; values to 0.01 ns, empty cells where nothing was measured."""
    lines = [",".join(["cpu", *map(str, matrix.cpus)])]
    lines += [
        ",".join([str(cpu), *map(_format_cell, row)])
        for cpu, row in zip(matrix.cpus, matrix.cells, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _format_cell(cell: float | None) -> str:
    if cell is None:
        return ""
    # Two decimals would make a tiny value a zero, which means something else.
    return f"{cell:.2f}" if abs(cell) >= 1 or cell == 0 else f"{cell:.6g}"


def _mean(there: float | None, back: float | None) -> float | None:
    if there is None or back is None:
        return there if back is None else back
    return (there + back) / 2


def _parse_header(line: str, name: str) -> tuple[int, ...]:
    first, *cells = line.split(",")
    if _bare(first).lower() not in {"cpu", ""} or not cells:
        raise MatrixError(f"{name}: line 1 starts with {first[:20]!r} instead of `cpu,` and CPU ids", _HINT)
    if len(cells) > MAX_CPUS:
        raise MatrixError(f"{name}: {len(cells)} CPUs in line 1", f"at most {MAX_CPUS} can be read")
    cpus = tuple(_cpu_id(cell, f"{name}: line 1, column {number}") for number, cell in enumerate(cells, 2))
    seen: set[int] = set()
    for number, cpu in enumerate(cpus, 2):
        if cpu in seen:
            where = f"{name}: line 1, column {number}"
            raise MatrixError(f"{where}: CPU {cpu} occurs twice", "name each CPU once")
        seen.add(cpu)
    return cpus


def _parse_row(cells: list[str], width: int, diagonal: int, where: str) -> Row:
    values = _plain_row(cells)
    if values is None:
        values = [_latency(cell, where, number) for number, cell in enumerate(cells, 2)]
    values += [None] * (width - len(values))
    values[diagonal] = None
    return tuple(values)


def _plain_row(cells: list[str]) -> list[float | None] | None:
    """The values of a row in which every cell is empty or a usual number, as nearly all are; else None."""
    joined = "".join(cells)
    if not joined.isascii() or "_" in joined:
        return None
    try:
        values = [float(cell) if cell else None for cell in cells]
    except ValueError:
        return None
    # `not` because nan is in no range.
    odd = any(value is not None and not -MAX_LATENCY_NS <= value <= MAX_LATENCY_NS for value in values)
    return None if odd else values


def _latency(cell: str, where: str, column: int) -> float | None:
    bare = _bare(cell)
    if not bare:
        return None
    try:
        value = float(bare)
    except ValueError:
        _refuse(where, column, bare)
    if "_" in bare or not bare.isascii():  # Python reads 1_000 and other scripts' digits, other tools don't
        _refuse(where, column, bare)
    if math.isnan(value):
        return None
    if abs(value) > MAX_LATENCY_NS:
        raise MatrixError(f"{where}, column {column}: {bare[:20]!r} is no latency in ns",
                          "leave the cell empty where nothing was measured")  # fmt: skip
    return value


def _refuse(where: str, column: int, cell: str) -> NoReturn:
    hint = "a latency is a decimal number of ns with a point; an empty cell is not measured"
    raise MatrixError(f"{where}, column {column}: {cell[:20]!r} is not a number", hint)


def _cpu_id(cell: str, where: str) -> int:
    bare = _bare(cell)
    plain = bare.isascii() and bare.isdigit() and len(bare) <= len(str(MAX_CPU_ID))
    if not plain or int(bare) > MAX_CPU_ID:
        hint = f"ids are whole numbers from 0 to {MAX_CPU_ID}"
        raise MatrixError(f"{where}: {bare[:20]!r} is not a CPU id", hint)
    return int(bare)


def _bare(cell: str) -> str:
    return cell.strip(" \t").strip('"').strip(" \t")


def _notes(short: int, missing: int) -> tuple[str, ...]:
    notes = []
    if short:
        notes.append(f"{short} rows end early; the rest of them counts as not measured")
    if missing:
        notes.append(f"{missing} CPUs of the first row have no row of their own; the file may be truncated")
    return tuple(notes)
