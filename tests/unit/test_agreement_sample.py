"""Agreement from a sample of pairs: levels that hold are seen to, made-up ones too, and gaps are named."""

from __future__ import annotations

import pytest

import toposcope_probes
from generators.replays import BIG_384, Model, machine, matrix
from toposcope.matrix import Matrix
from toposcope.measure.plan import MATRIX_PROBE, ProbeChoice, plan
from toposcope.topology.agreement_sample import PAIRS_MIN, compare_sample
from toposcope.topology.model import Machine
from toposcope.view import matrix_of

_MACHINE = machine(BIG_384)


def _sampled(full: Matrix, described: Machine, seed: int) -> Matrix:
    """The pairs that the daemon's plan visits on a large machine, and no others."""
    spec = toposcope_probes.find(MATRIX_PROBE)
    assert spec is not None
    choice = ProbeChoice(spec, spec.interval_s, spec.max_age_s)
    pairs = [
        task.identity.target.cpus for task in plan(described, [choice], cpus=described.online_cpus, seed=seed)
    ]
    cells = {(a, b): value for a, b in pairs if (value := full.value(a, b)) is not None}
    return matrix_of(described.online_cpus, cells)


_FULL = matrix(BIG_384)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_declared_truly_agrees(seed: int) -> None:
    found = compare_sample(_MACHINE, _sampled(_FULL, _MACHINE, seed))
    states = {level.level: level.state for level in found.levels}
    assert states["smt"] == states["l3"] == states["package"] == "agrees"
    assert all(level.agreement is None or level.agreement > 0.9 for level in found.levels)
    assert "pairs were measured" in found.doubts[0]
    assert found.undeclared == ()


def test_what_is_made_up_is_contradicted_with_the_number_of_pairs() -> None:
    made_up = Model("made up", packages=2, l3_domains_per_package=4, cores_per_l3=16,
                    latency_ns={"smt": 60.0, "l3": 60.0, "package": 60.0, "cross_package": 60.0})  # fmt: skip
    described = machine(made_up)
    found = compare_sample(described, _sampled(matrix(made_up, noise=0.05), described, 3))
    told = {level.level: level for level in found.levels}
    assert told["smt"].state in ("contradicted", "unresolved")
    assert any(level.state == "contradicted" for level in found.levels)
    assert any("pairs inside" in level.cause for level in found.levels)


def test_too_few_pairs_settle_nothing() -> None:
    cells = {(0, 1): 24.0, (0, 200): 200.0}
    found = compare_sample(_MACHINE, matrix_of(_MACHINE.online_cpus, cells))
    assert {level.state for level in found.levels} == {"unresolved"}
    assert all(level.agreement is None and f"{PAIRS_MIN} of each" in level.cause for level in found.levels)


def test_cpus_that_are_gone_are_left_out() -> None:
    cells = {(5000, 5001): 24.0}
    found = compare_sample(_MACHINE, matrix_of((0, 5000, 5001), cells))
    assert "only 0 of" in found.doubts[0]
