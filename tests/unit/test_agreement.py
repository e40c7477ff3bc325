"""Declared against measured: the number, who disagrees, and the likely cause."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from toposcope.matrix import Matrix, matrix_of_pairs
from toposcope.topology.agreement import Agreement, LevelAgreement, compare
from toposcope.topology.infer import infer
from toposcope.topology.model import Machine, Node, Partition


def blocks(count: int, size: int) -> Partition:
    return tuple(tuple(range(first, first + size)) for first in range(0, count, size))


def machine(
    count: int = 16, *, cores: int = 2, packages: int = 8, nodes: int = 0, hypervisor: str | None = None
) -> Machine:
    return Machine(
        is_this_system=False, online_cpus=tuple(range(count)), cores=blocks(count, cores),
        packages=blocks(count, packages), settings=(("hypervisor", hypervisor),),
        numa_nodes=tuple(Node(index, cpus, 1) for index, cpus in enumerate(blocks(count, nodes))) if nodes else (),
    )  # fmt: skip


def measured(latency_ns: Callable[[int, int], float], count: int = 16) -> Matrix:
    rng = Random(7)
    pairs = {(a, b): latency_ns(a, b) * rng.gauss(1, 0.02) for a in range(count) for b in range(a)}
    return matrix_of_pairs(range(count), pairs)


def honest(a: int, b: int) -> float:
    return 8 if a // 2 == b // 2 else 40 if a // 8 == b // 8 else 110


def judge(declared: Machine, matrix: Matrix) -> Agreement:
    return compare(declared, matrix, infer(matrix))


def level(agreement: Agreement, name: str) -> LevelAgreement:
    return next(each for each in agreement.levels if each.level == name)


def test_an_honest_machine_agrees_everywhere() -> None:
    agreement = judge(machine(), measured(honest))
    assert [each.level for each in agreement.levels] == ["smt", "package"]
    for each in agreement.levels:
        assert each.agreement == 1.0
        assert each.disagreeing_cpus == ()
        assert each.same_as is not None
        assert each.cause == ""
    assert agreement.undeclared == ()
    assert agreement.doubts == ()


def test_sockets_that_are_made_up_win_half_of_their_comparisons() -> None:
    agreement = judge(machine(), measured(lambda a, b: 8 if a // 2 == b // 2 else 40))
    package = level(agreement, "package")
    assert package.agreement == pytest.approx(0.5, abs=0.1)
    assert "made up" in package.cause
    assert package.state == "contradicted"
    assert level(agreement, "smt").agreement == 1.0


def test_a_level_gets_no_credit_for_a_wider_one() -> None:
    """Cores made up inside real sockets: against strangers of the other socket they would look fine."""
    agreement = judge(machine(), measured(lambda a, b: 40 if a // 8 == b // 8 else 110))
    smt = level(agreement, "smt")
    assert smt.agreement == pytest.approx(0.5, abs=0.15)
    assert smt.cause
    assert level(agreement, "package").agreement == 1.0


def test_hidden_smt_is_named() -> None:
    agreement = judge(machine(cores=1), measured(honest))
    (hidden,) = agreement.undeclared
    assert hidden.groups == blocks(16, 2)
    assert "SMT" in hidden.cause


def test_moved_vcpus_keep_the_sizes_but_not_the_members() -> None:
    shuffled = Random(3).sample(range(16), 16)
    agreement = judge(machine(hypervisor="kvm"), measured(lambda a, b: honest(shuffled[a], shuffled[b])))
    smt = level(agreement, "smt")
    assert smt.agreement is not None
    assert smt.agreement < 0.7
    assert "moved" in smt.cause
    assert smt.disagreeing_cpus


def test_two_exchanged_cpus_are_the_ones_that_disagree() -> None:
    swap = {3: 12, 12: 3}
    agreement = judge(machine(cores=1), measured(lambda a, b: honest(swap.get(a, a), swap.get(b, b))))
    package = level(agreement, "package")
    assert package.disagreeing_cpus == (3, 12)
    assert package.cause


def test_the_homing_artefact_is_not_taken_for_topology() -> None:
    def homed(a: int, b: int) -> float:
        return 112 if a // 8 == b // 8 == 1 and a // 2 != b // 2 else honest(a, b)

    agreement = judge(machine(), measured(homed))
    assert "homing artefact" in level(agreement, "package").cause
    assert level(agreement, "package").state == "unresolved"
    assert "homing artefact" in agreement.undeclared[0].cause


def test_nodes_inside_a_package_that_cores_do_not_notice() -> None:
    agreement = judge(machine(packages=16, nodes=8), measured(lambda a, b: 8 if a // 2 == b // 2 else 40))
    assert "NPS or SNC" in level(agreement, "node").cause


def test_parts_of_a_package_that_nobody_declares() -> None:
    agreement = judge(machine(packages=16), measured(honest))
    assert [each.groups for each in agreement.undeclared] == [blocks(16, 8)]
    assert "nothing declares" in agreement.undeclared[0].cause


def test_several_packages_that_are_one() -> None:
    agreement = judge(machine(cores=1, packages=4), measured(lambda a, b: 40 if a // 8 == b // 8 else 110))
    assert "made up" in agreement.undeclared[0].cause


def test_two_cpus_say_what_can_not_be_told() -> None:
    agreement = judge(machine(2, packages=2), measured(honest, 2))
    assert {each.agreement for each in agreement.levels} == {None}
    assert {each.state for each in agreement.levels} == {"unresolved"}
    assert "one pair" in agreement.levels[0].cause
    assert any("can't be told" in doubt for doubt in agreement.doubts)


def test_junk_says_nothing_about_any_level() -> None:
    agreement = judge(machine(4, packages=4), matrix_of_pairs(range(4), {(0, 1): 0.0, (1, 2): 9.0}))
    assert all(each.agreement is None for each in agreement.levels)
    assert "unusable" in agreement.doubts[0]


def test_each_vcpu_its_own_package() -> None:
    agreement = judge(machine(cores=1, packages=1), measured(honest))
    assert any("package of its own" in doubt for doubt in agreement.doubts)
    assert len(agreement.undeclared) == 2


def test_cpus_missing_on_either_side_are_left_out_and_counted() -> None:
    agreement = judge(machine(24), measured(honest))
    assert level(agreement, "package").agreement == 1.0
    assert agreement.doubts == ("8 online CPUs are not in the matrix: nothing is said of them",)
