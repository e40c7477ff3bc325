"""What a matrix tells of each pair, against asking each cell by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toposcope.advise.known_pairs import complete_rows, error_of_directions, known_pairs, lower_rows
from toposcope.matrix import Matrix

_CELLS = st.one_of(st.none(), st.sampled_from([0.0, -1.0, 7.5]), st.floats(1, 1e6))


@st.composite
def _matrices(draw: st.DrawFn) -> Matrix:
    count = draw(st.integers(1, 6))
    cell = draw(st.sampled_from([_CELLS, st.floats(1, 1e6), st.none(), st.just(5.0)]))
    cells = [[draw(cell) if a != b else None for b in range(count)] for a in range(count)]
    absent = draw(st.sampled_from(["nothing", "lower", "upper", "mirrored"]))
    for a in range(count):
        for b in range(a):
            if absent == "lower":
                cells[a][b] = None
            elif absent == "upper":
                cells[b][a] = None
            elif absent == "mirrored":
                cells[a][b] = cells[b][a]
    return Matrix(tuple(range(10, 10 + count)), tuple(map(tuple, cells)))


@given(_matrices(), st.data())
def test_rows_and_pairs_hold_what_the_matrix_says(matrix: Matrix, data: st.DataObject) -> None:
    cpus = data.draw(
        st.one_of(st.just(matrix.cpus), st.sets(st.integers(9, 16), min_size=1).map(sorted).map(tuple))
    )
    lower = lower_rows(matrix, cpus)
    wanted = [[matrix.value(cpu, other) for other in cpus[:at]] for at, cpu in enumerate(cpus)]
    assert [list(row) for row in lower] == wanted
    pairs, unusable = known_pairs(lower)
    flat = [(a, b, ns) for a, row in enumerate(wanted) for b, ns in enumerate(row) if ns is not None]
    assert pairs == [pair for pair in flat if pair[2] > 0]
    assert unusable == len(flat) - len(pairs)
    rows = complete_rows(lower)
    if len(cpus) > 1:
        assert (rows is not None) == (2 * len(pairs) == len(cpus) * (len(cpus) - 1))
    for a, b, ns in pairs if rows is not None else ():
        assert rows is not None
        assert rows[a][b] == rows[b][a] == ns
        assert rows[a][a] == 0.0


def test_the_error_is_that_of_differing_directions() -> None:
    there, back = 100.0, 102.0
    cells = tuple(tuple(None if a == b else there if a < b else back for b in range(4)) for a in range(4))
    error = error_of_directions(Matrix((0, 1, 2, 3), cells))
    assert error is not None
    assert abs(error - 1.4826 * 2 / 202) < 1e-12
    assert error_of_directions(Matrix((0, 1), ((None, 5.0), (5.0, None)))) is None
    assert error_of_directions(Matrix((0, 1), ((None, 5.0), (None, None)))) is None
    assert error_of_directions(None) is None
