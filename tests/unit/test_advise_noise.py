"""Noise is no structure: what one direction of a matrix calls near must not be bad in the other.

The published matrices that were measured in both directions with differing values; advice sees one triangle
and is paid for on the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from advise_machines import declared_machine
from shared_material import shared_path
from toposcope import replay
from toposcope.advise.facts import Evidence
from toposcope.advise.matrix_only import with_cores_shown
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request, Smt
from toposcope.matrix import Matrix, matrix_of_pairs, read_matrix
from toposcope.topology.model import Machine

NAMES = (
    "epyc-7713-2s-numaaware",
    "i7-13850hx-noturbo",
    "i7-4930k",
    "m4-pro-12c",
    "xeon-e5-2698v3-2s",
    "xeon-w2145",
)


def _direction(matrix: Matrix, *, back: bool) -> Matrix:
    """One triangle of the matrix, as if nothing else had been measured."""
    pairs = {}
    for (row, cpu), (column, other) in itertools.combinations(enumerate(matrix.cpus), 2):
        value = matrix.cells[column][row] if back else matrix.cells[row][column]
        if value is not None:
            pairs[cpu, other] = value
    return matrix_of_pairs(matrix.cpus, pairs)


def _cost(matrix: Matrix, cpus: Sequence[int]) -> float:
    values = [matrix.value(one, other) for one, other in itertools.combinations(sorted(cpus), 2)]
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def _advised(machine: Machine, matrix: Matrix, workers: int, smt: Smt, *, exact: bool) -> tuple[int, ...]:
    given = Evidence(machine, machine.packages is not None, matrix, mode="replay")
    return recommend(Request(workers, smt=smt, exact=exact), given).placements[0].cpus


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
@pytest.mark.parametrize("smt", ["avoid", "allow"])
@pytest.mark.parametrize("is_declared", [False, True], ids=["matrix alone", "declared"])
@pytest.mark.parametrize("name", NAMES)
def test_advice_from_one_direction_holds_in_the_other(
    name: str, is_declared: bool, smt: Smt, back: bool
) -> None:
    matrix = read_matrix(shared_path("latency_matrices", f"{name}.csv"))
    seen, paid = _direction(matrix, back=back), _direction(matrix, back=not back)
    machine = declared_machine(name) if is_declared else with_cores_shown(replay.machine_of(seen), seen)
    for workers in (2, 4, 8, 16, 24, 32):
        if workers < len(matrix.cpus) / 2:
            best = _cost(paid, _advised(machine, seen, workers, smt, exact=True))
            assert _cost(paid, _advised(machine, seen, workers, smt, exact=False)) <= 1.01 * best, workers
