"""The matrix and its CSV form: what is read, what is refused and how."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_material import shared_path
from toposcope.errors import MatrixError
from toposcope.matrix import MAX_CPUS, Matrix, format_csv, matrix_of_pairs, parse_csv, read_matrix

PLAIN = "cpu,0,4\n0,,10.5\n4,12.5,\n"


def parse(text: str) -> Matrix:
    return parse_csv(text, name="m.csv")


def test_plain_matrix_reads_both_directions() -> None:
    matrix = parse(PLAIN)
    assert matrix.cpus == (0, 4)
    assert matrix.cells == ((None, 10.5), (12.5, None))
    assert matrix.value(0, 4) == matrix.value(4, 0) == 11.5
    assert matrix.notes == ()


def test_one_triangle_is_enough() -> None:
    matrix = parse("cpu,0,1\n0,,\n1,7,\n")
    assert matrix.value(0, 1) == 7.0
    assert matrix.value(0, 9) is None
    assert matrix.symmetric() == [[None, 7.0], [7.0, None]]


@pytest.mark.parametrize("text", [
    "\N{BOM}" + PLAIN, PLAIN.replace("\n", "\r\n"), PLAIN.replace("\n", "\r"), PLAIN.replace("\n", "\n\n"),
    'CPU,"0"," 4 "\n"0",,"10.5"\n4, 12.5 ,\n', "cpu,0,4\n4,12.5,\n0,,10.5\n",
    ",0,4\n0,nan,10.5\n4,12.5,NaN\n",
    "cpu,0,4\n0,99,10.5\n4,12.5,0\n", PLAIN + ",,\n", PLAIN + "   \n",
])  # fmt: skip
def test_harmless_differences_do_not_matter(text: str) -> None:
    assert parse(text).cells == ((None, 10.5), (12.5, None))


def test_zero_and_negative_values_are_kept_for_infer_to_judge() -> None:
    assert parse("cpu,0,1\n0,,0\n1,-3,\n").cells == ((None, 0.0), (-3.0, None))


def test_short_and_missing_rows_are_not_measured_and_noted() -> None:
    matrix = parse("cpu,0,1,2\n0\n1,5\n")
    assert matrix.value(0, 1) == 5.0
    assert matrix.value(1, 2) is None
    assert len(matrix.notes) == 2
    assert "2 rows end early" in matrix.notes[0]


def test_a_number_cut_by_the_end_of_the_file_is_not_believed() -> None:
    matrix = parse("cpu,0,1,2\n0,,,\n1,51,,\n2,53,5")
    assert matrix.value(2, 0) == 53.0
    assert matrix.value(2, 1) is None


@pytest.mark.parametrize(("text", "says"), [
    ("", "empty"), ("\n\n", "empty"), ("hello\nworld\n", "line 1"), ("cpu\n", "line 1"),
    ("cpu,0,1\n", "without any row"), ("cpu;0;1\n0;;2\n", "line 1"),
    ("cpu,0,0\n0,,1\n", "line 1, column 3: CPU 0 occurs twice"), ("cpu,0,-1\n0,,1\n", "line 1, column 3"),
    ("cpu,0,1.5\n0,,1\n", "column 3"), ("cpu,0,9999999\n0,,1\n", "column 3"), ("cpu,0,٣\n0,,1\n", "column 3"),
    ("cpu,0,1\n0,,1\n0,,1\n", "line 3: a second row for CPU 0"), ("cpu,0,1\n7,,1\n", "line 2: CPU 7"),
    ("cpu,0,1\n0,,1,2\n", "line 2: 3 values for 2 CPUs"), ("cpu,0,1\n0,,x\n", "line 2, column 3: 'x'"),
    ("cpu,0,1\n0,,inf\n", "line 2, column 3"), ("cpu,0,1\n0,,1e400\n", "column 3"),
    ("cpu,0,1\n0,,1_0\n", "column 3"), ("cpu,0,1\n0,,٣\n", "column 3"), ("cpu,0,1\n0,,\0\n", "column 3"),
])  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_a_hint(text: str, says: str) -> None:
    with pytest.raises(MatrixError) as caught:
        parse(text)
    assert says in caught.value.message
    assert caught.value.message.startswith("m.csv")
    assert caught.value.hint


def test_size_has_a_limit() -> None:
    with pytest.raises(MatrixError, match="CPUs in line 1"):
        parse("cpu," + ",".join(map(str, range(MAX_CPUS + 1))) + "\n0,\n")


def test_unreadable_files_are_matrix_errors(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match="can't read matrix"):
        read_matrix(tmp_path / "absent.csv")
    with pytest.raises(MatrixError, match="can't read matrix"):
        read_matrix(tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"cpu,0\xff")
    with pytest.raises(MatrixError, match="byte 5 is not UTF-8"):
        read_matrix(tmp_path / "binary.csv")


def test_published_matrices_survive_a_round_trip() -> None:
    paths = sorted(shared_path("latency_matrices").glob("*.csv"))
    assert paths
    for path in paths:
        matrix = read_matrix(path)
        assert parse(format_csv(matrix)) == matrix
        assert matrix.notes == ()


def test_matrix_of_pairs() -> None:
    assert matrix_of_pairs((3, 5), {(3, 5): 2.0, (3, 3): 1.0}).cells == ((None, 2.0), (None, None))


@given(st.text(alphabet=st.sampled_from('cpu0123456789,.\n\r -+einfax"_'), max_size=200))
def test_any_text_is_a_matrix_or_a_matrix_error(text: str) -> None:
    with contextlib.suppress(MatrixError):
        matrix = parse(text)
        assert all(cell is None or math.isfinite(cell) for row in matrix.cells for cell in row)


@given(st.data(), st.sets(st.integers(0, 9999), min_size=1, max_size=8).map(sorted))
def test_what_is_written_is_read_again(data: st.DataObject, cpus: list[int]) -> None:
    value = st.none() | st.integers(-(10**6), 10**8).map(lambda cents: cents / 100)
    cells = tuple(tuple(None if a == b else data.draw(value) for b in cpus) for a in cpus)
    assert parse(format_csv(Matrix(tuple(cpus), cells))).cells == cells
