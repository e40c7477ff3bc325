"""Plans: every relation has its representative, nothing is planned on what isn't there."""

from __future__ import annotations

from dataclasses import replace

import pytest

import toposcope_probes
from toposcope.measure.core_sets import compact_order, core_sets, spread_order
from toposcope.measure.plan import (
    MATRIX_PROBE,
    RANDOM_PAIRS_PER_RELATION,
    ProbeChoice,
    Task,
    all_pairs,
    arguments,
    memory_arguments,
    more_often,
    plan,
)  # fmt: skip
from toposcope.results import Target
from toposcope.topology.model import Cache, Distances, Machine, Node
from toposcope_probes.contract import Measure, ProbeSpec, TargetKind


def two_packages(*, cores: int = 4, smt: int = 2) -> Machine:
    """Two packages, a node and an L3 each; thread t of core c is CPU c + t × cores, as Linux numbers."""
    total = 2 * cores
    core_list = tuple(tuple(c + t * total for t in range(smt)) for c in range(total))
    packages = tuple(
        tuple(sorted(cpu for core in core_list[p * cores : (p + 1) * cores] for cpu in core))
        for p in range(2)
    )
    return Machine(
        is_this_system=True,
        online_cpus=tuple(range(total * smt)),
        packages=packages,
        cores=core_list,
        numa_nodes=tuple(Node(i, cpus, 1 << 30) for i, cpus in enumerate(packages)),
        numa_exposed=True,
        distances=Distances((0, 1), ((10, 21), (21, 10))),
        caches=tuple(Cache(3, "Unified", 32 << 20, cpus) for cpus in packages),
    )


def _choice(kind: TargetKind, *, symmetric: bool = True, **variants: tuple[str, ...]) -> ProbeChoice:
    measures = (Measure("latency_ns", "help"),)
    spec = ProbeSpec("p", "Help.", "operation", kind, measures, variants=variants, symmetric=symmetric)
    return ProbeChoice(spec, 300.0, 3600.0)


def _plan(machine: Machine, choice: ProbeChoice) -> tuple[Task, ...]:
    return plan(machine, [choice], cpus=machine.online_cpus)


def test_pairs_have_one_representative_a_relation_and_then_random_ones() -> None:
    machine = two_packages()
    tasks = _plan(machine, _choice(TargetKind.PAIR))
    first = [task.identity.relation for task in tasks if task.tier == 0]
    assert first == ["smt", "package", "cross_package"]
    for relation in first:
        more = [task for task in tasks if task.tier == 1 and task.identity.relation == relation]
        assert len(more) == RANDOM_PAIRS_PER_RELATION
    assert len({task.identity.id for task in tasks}) == len(tasks)


def test_where_the_roles_differ_representatives_are_looked_at_in_both_directions() -> None:
    machine, choice = two_packages(), _choice(TargetKind.PAIR, symmetric=False)
    tasks = _plan(machine, choice)
    first = {task.identity.target.cpus for task in tasks if task.tier == 0}
    assert {pair[::-1] for pair in first} == first
    assert len(first) == 2 * len(["smt", "package", "cross_package"])
    random_pairs = [task.identity.target.cpus for task in tasks if task.tier == 1]
    assert len({frozenset(pair) for pair in random_pairs}) == 3 * RANDOM_PAIRS_PER_RELATION
    assert any(one < other for one, other in random_pairs)
    assert any(one > other for one, other in random_pairs)
    matrix = [task.identity.target.cpus for task in all_pairs(machine, choice, machine.online_cpus)]
    assert len(set(matrix)) == len(matrix) == 16 * 15


def test_every_probe_says_rightly_whether_its_pairs_have_a_direction() -> None:
    directed = {
        spec.name
        for spec in toposcope_probes.load_all()
        if spec.target is TargetKind.PAIR and not spec.symmetric
    }
    assert directed == {"cacheline_bandwidth", "wakeup"}


def test_random_pairs_come_round_more_seldom_unless_a_person_set_the_interval() -> None:
    machine, choice = two_packages(), _choice(TargetKind.PAIR)
    by_tier = {task.tier: task.choice.interval_s for task in _plan(machine, choice)}
    assert by_tier == {0: 300.0, 1: 1800.0}
    configured = replace(choice, configured=True)
    assert {task.choice.interval_s for task in _plan(machine, configured)} == {300.0}


def test_cross_package_results_carry_the_node_distance() -> None:
    tasks = _plan(two_packages(), _choice(TargetKind.PAIR))
    assert {task.identity.relation: task.identity.node_distance for task in tasks} == {
        "smt": None, "package": None, "cross_package": 21,
    }  # fmt: skip


def test_the_home_of_a_line_matters_only_where_memory_has_several_nodes() -> None:
    choice = _choice(TargetKind.PAIR, model=("thread", "process"), home=("first", "second"))
    variants = {tuple(sorted(task.identity.variant.items())) for task in _plan(two_packages(), choice)}
    assert len(variants) == 4
    flat = Machine(is_this_system=True, online_cpus=(0, 1), packages=((0, 1),), cores=((0,), (1,)))
    assert [task.identity.variant for task in _plan(flat, choice)] == [
        {"model": "thread"},
        {"model": "process"},
    ]


def test_both_homes_are_measured_where_they_are_two_nodes() -> None:
    choice = _choice(TargetKind.PAIR, home=("first", "second"))
    machine = two_packages()
    homes: dict[str | None, set[str]] = {}
    for task in (*_plan(machine, choice), *all_pairs(machine, choice, machine.online_cpus)):
        homes.setdefault(task.identity.relation, set()).add(task.identity.variant["home"])
    assert homes == {"smt": {"first"}, "package": {"first"}, "cross_package": {"first", "second"}}


def test_the_whole_matrix_has_every_pair_once() -> None:
    machine = two_packages()
    tasks = all_pairs(machine, _choice(TargetKind.PAIR), machine.online_cpus)
    pairs = {frozenset(task.identity.target.cpus) for task in tasks}
    assert len(tasks) == len(pairs) == 16 * 15 // 2


def test_the_matrix_probe_is_planned_for_every_pair_of_a_machine_that_is_not_too_large() -> None:
    spec = ProbeSpec(MATRIX_PROBE, "Help.", "operation", TargetKind.PAIR, (Measure("latency_ns", "help"),),
                     symmetric=True, variants={"model": ("thread", "process")})  # fmt: skip
    tasks = _plan(two_packages(), ProbeChoice(spec, 600.0, 3600.0))
    threads = [task for task in tasks if task.identity.variant["model"] == "thread"]
    assert len({frozenset(task.identity.target.cpus) for task in threads}) == 16 * 15 // 2
    assert len({task.identity.id for task in tasks}) == len(tasks)
    assert {task.choice.interval_s for task in tasks if task.tier == 2} == {86_400.0}
    assert not [
        task for task in _plan(two_packages(cores=32), ProbeChoice(spec, 600.0, 3600.0)) if task.tier == 2
    ]


def test_a_large_machine_gets_a_small_plan_that_misses_no_relation() -> None:
    machine = two_packages(cores=256, smt=2)
    tasks = _plan(machine, _choice(TargetKind.PAIR))
    assert {task.identity.relation for task in tasks} == {"smt", "package", "cross_package"}
    assert len(tasks) <= 3 * (1 + RANDOM_PAIRS_PER_RELATION)


@pytest.mark.parametrize("kind", list(TargetKind))
def test_one_cpu_alone_is_planned_without_pairs_and_without_error(kind: TargetKind) -> None:
    machine = Machine(is_this_system=True, online_cpus=(5,), packages=((5,),), cores=((5,),))
    tasks = plan(machine, [_choice(kind)], cpus=(5,), interpreters=("python3",))
    assert all(task.identity.target.cpus == (5,) for task in tasks)
    assert bool(tasks) == (kind not in (TargetKind.PAIR, TargetKind.CORE, TargetKind.CORE_SET))


def test_nothing_is_planned_on_cpus_that_may_not_be_used() -> None:
    machine = two_packages()
    for kind in TargetKind:
        for task in plan(machine, [_choice(kind)], cpus=(1, 2, 9), interpreters=("python3",)):
            assert set(task.identity.target.cpus) <= {1, 2, 9}


def test_core_sets_of_equal_size_differ_only_in_where_they_are() -> None:
    machine = two_packages()
    sets = dict(core_sets(machine, machine.online_cpus))
    assert sets["compact:4"] == (0, 1, 2, 3)
    assert sorted(sets["spread:4"]) == [0, 1, 4, 5]
    assert sets["compact:8"] == (0, 1, 2, 3, 8, 9, 10, 11)  # one package with its second threads
    assert sorted(sets["spread:8"]) == list(range(8))  # both packages, one thread a core
    assert "spread:16" not in sets
    assert len(sets["compact:16"]) == 16


def test_orders_use_every_cpu_once() -> None:
    machine = two_packages()
    for order in (compact_order, spread_order):
        assert sorted(order(machine, machine.online_cpus)) == list(machine.online_cpus)


def test_memory_is_measured_from_its_own_node_and_from_the_other_package() -> None:
    tasks = _plan(two_packages(), _choice(TargetKind.CORE_SET_NODE))
    found = {(task.identity.target.node, task.identity.target.core_set) for task in tasks}
    assert found == {(node, name) for node in (0, 1)
                     for name in ("compact:1", "compact:2", "compact:4", "compact:8", "remote:8")}  # fmt: skip


def test_a_small_machine_looks_more_often_for_the_same_budget_and_a_large_one_does_not() -> None:
    flat = Machine(is_this_system=True, online_cpus=(0, 1), packages=((0, 1),), cores=((0,), (1,)))
    small = more_often(_plan(flat, _choice(TargetKind.PAIR)), 0.01)
    assert {task.choice.interval_s for task in small} == {30.0}
    large = _plan(two_packages(), _choice(TargetKind.PAIR))
    assert more_often(large, 0.00001) == large


def test_an_interval_that_a_person_set_is_kept() -> None:
    flat = Machine(is_this_system=True, online_cpus=(0, 1), packages=((0, 1),), cores=((0,), (1,)))
    choice = replace(_choice(TargetKind.PAIR), configured=True)
    assert {task.choice.interval_s for task in more_often(_plan(flat, choice), 0.01)} == {300.0}


def test_arguments_name_the_target_and_the_variant() -> None:
    machine = two_packages()
    tasks = all_pairs(machine, _choice(TargetKind.PAIR, model=("thread",)), (0, 1, 2))
    assert arguments(tasks[:1]) == ["cpus=0,1", "model=thread"]
    assert arguments(tasks) == ["pairs=0:1,0:2,1:2", "model=thread"]


@pytest.mark.parametrize(
    ("l3_mib", "latency_mib", "bandwidth_mib"),
    [(16, 64, 128), (32, 128, 256), (60, 256, 480), (504, 256, 4032)],
)
def test_working_sets_follow_the_caches_of_their_target(
    l3_mib: int, latency_mib: int, bandwidth_mib: int
) -> None:
    machine = two_packages()
    caches = tuple(replace(cache, size_bytes=l3_mib << 20) for cache in machine.caches or ())
    machine = replace(machine, caches=(*caches, Cache(2, "Unified", 1 << 20, (0,))))
    latency, bandwidth = (toposcope_probes.find(name) for name in ("memory_latency", "memory_bandwidth"))
    assert latency is not None
    assert bandwidth is not None
    assert memory_arguments(machine, latency, Target((0,), node=1)) == {"largest_mib": str(latency_mib)}
    one, both = Target((0, 1), node=0), Target((0, 4), node=0)
    assert memory_arguments(machine, bandwidth, one) == {"memory_mib": str(bandwidth_mib // 2)}
    assert memory_arguments(machine, bandwidth, both) == {"memory_mib": str(bandwidth_mib)}
    for task in plan(machine, [ProbeChoice(bandwidth, 1.0, 1.0)], cpus=machine.online_cpus):
        told = int(dict(word.split("=") for word in arguments([task]) if "=" in word)["memory_mib"])
        assert told >= 4 * l3_mib, "more than twice the level 3 that its CPUs have"
        assert told >= 32 * len(task.identity.target.cpus)


def test_unknown_caches_leave_the_working_set_at_its_least() -> None:
    machine = replace(two_packages(), caches=())
    latency, cas = toposcope_probes.find("memory_latency"), toposcope_probes.find("cacheline_cas")
    assert latency is not None
    assert cas is not None
    assert memory_arguments(machine, latency, Target((0,), node=1)) == {"largest_mib": "64"}
    assert memory_arguments(machine, cas, Target((0, 1))) == {}
