"""What explain says of a process that was watched, and which process a name means."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest

from advise_machines import two_sockets
from toposcope.advise.facts import Evidence, NodeCosts
from toposcope.audit import BusyThread, Usage
from toposcope.cli.explain import find_pid
from toposcope.errors import UsageError
from toposcope.explain import explain, text
from toposcope.matrix import matrix_of_pairs
from toposcope.topology.processes import Process, Thread

MACHINE = two_sockets()
COSTS = NodeCosts({(0, 0): 80.0, (0, 1): 160.0, (1, 1): 80.0, (1, 0): 160.0})


def _latency_ns(cpu: int, other: int) -> float:
    return {"smt": 10.0, "l3": 30.0, "package": 60.0}.get(MACHINE.relation(cpu, other), 200.0)


MATRIX = matrix_of_pairs(
    MACHINE.online_cpus,
    {(a, b): _latency_ns(a, b) for a in MACHINE.online_cpus for b in MACHINE.online_cpus if a != b},
)
EVIDENCE = Evidence(
    MACHINE, matrix=MATRIX, node_costs=COSTS, source="made up", placement="stable", age_s=10.0
)


def process(*cpus: int) -> Process:
    threads = tuple(Thread(100 + index, "t", cpu, 1.0) for index, cpu in enumerate(cpus))
    return Process(100, "prog", threads, MACHINE.online_cpus, None)


def usage(*cpus: int, memory: dict[int, int] | None = None) -> Usage:
    busy = tuple(BusyThread(100 + index, "t", 0.9, (cpu,)) for index, cpu in enumerate(cpus))
    return Usage(100, "prog", busy, dict.fromkeys(sorted(cpus), 5), memory)


def test_a_process_across_packages_gets_its_cost_and_a_better_place() -> None:
    found = explain(process(0, 8), usage(0, 8), EVIDENCE, [])
    assert (found.pair_latency_ns, found.widest_relation) == (200.0, "cross_package")
    assert [finding.check for finding in found.findings] == ["straddles_packages"]
    assert found.better is not None
    assert found.better.advice == "place"
    first = found.better.placements[0]
    assert first.cost_ns is not None
    assert first.cost_ns < 100
    assert "better: CPUs" in text(found)
    assert "200 ns on average" in text(found)


def test_a_process_in_the_best_place_has_nothing_better() -> None:
    found = explain(process(0, 2), usage(0, 2), EVIDENCE, [])
    assert found.findings == ()
    assert "better: nothing; it runs where the advice would put it (CPUs 0,2)" in text(found)


def test_far_memory_costs_what_the_nodes_latencies_say() -> None:
    found = explain(process(0), usage(0, memory={0: 1 << 30, 1: 3 << 30}), EVIDENCE, [])
    assert found.remote_latency_ratio == pytest.approx(1.75)
    assert "1.75 times as slow" in text(found)
    assert [finding.check for finding in found.findings] == ["memory_far"]


def test_without_measurements_no_cost_is_told_and_that_is_said() -> None:
    found = explain(process(0, 8), usage(0, 8), Evidence(MACHINE), ["memory per node: Permission denied"])
    assert (found.pair_latency_ns, found.remote_latency_ratio) == (None, None)
    said = text(found)
    assert "not seen: memory per node: Permission denied" in said
    assert "no pair of these CPUs was measured" in said


def test_an_idle_process_gets_no_advice() -> None:
    found = explain(process(0), usage(), EVIDENCE, [])
    assert found.better is None
    assert "it did next to nothing" in text(found)


def test_a_badly_pinned_process_is_told_of_cpus_outside_its_affinity() -> None:
    pinned = replace(process(0, 8), allowed_cpus=(0, 8))
    found = explain(pinned, usage(0, 8), EVIDENCE, [])
    assert found.better is not None
    assert not set(found.better.placements[0].cpus) <= {0, 8}


def test_pids_and_names() -> None:
    me = psutil.Process()
    assert find_pid(str(me.pid)) == me.pid
    for wrong in ("999999999", "99999999999999999999", "no such program"):
        with pytest.raises(UsageError) as caught:
            find_pid(wrong)
        assert caught.value.hint
