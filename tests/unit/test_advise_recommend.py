"""The advice as a whole: what it says with and without results, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from typing import Any

import pytest

from advise_machines import two_sockets
from toposcope.advise.answer import Recommendation, to_document
from toposcope.advise.facts import Evidence, Load, NodeCosts, OneCpuGain
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Edge, Request
from toposcope.errors import UsageError
from toposcope.judgements import ClaimStanding
from toposcope.matrix import Matrix, matrix_of_pairs
from toposcope.topology.model import Machine

MACHINE = two_sockets()  # 16 CPUs: packages 0-7 and 8-15, L3 domains of 4, cores of 2
_NS = {"smt": 8.0, "l3": 25.0, "node": 90.0, "package": 90.0, "cross_package": 180.0}


def measured(machine: Machine = MACHINE, noise: float = 0.0, near: tuple[int, ...] = ()) -> Matrix:
    source = random.Random(1)
    pairs = {}
    for a, b in itertools.combinations(machine.online_cpus, 2):
        factor = 0.8 if a in near and b in near else 1.0
        pairs[a, b] = _NS[machine.relation(a, b)] * factor * (1 + source.uniform(-noise, noise))
    return matrix_of_pairs(machine.online_cpus, pairs)


def evidence(**changes: Any) -> Evidence:
    return dataclasses.replace(
        Evidence(MACHINE, matrix=measured(), age_s=60.0, placement="stable"), **changes
    )


def ask(workers: int, given: Evidence | None = None, **options: Any) -> Recommendation:
    return recommend(Request(workers, **options), given or evidence())


def reasons(answer: Recommendation) -> str:
    return "\n".join(answer.placements[0].reasons)


# ------------------------------------------------------------------------------- what is advised


def test_sharing_workers_stay_in_one_cache_domain() -> None:
    first = ask(4, exact=True, smt="allow").placements[0]
    assert {cpu // 4 for cpu in first.cpus} in ({0}, {1}, {2}, {3})
    assert first.expected_gain_ratio is not None
    assert first.expected_gain_ratio > 2
    assert first.interval is not None
    assert first.interval[0] < first.expected_gain_ratio < first.interval[1]
    assert first.cost_ns == pytest.approx((2 * 8 + 4 * 25) / 6)


def test_avoiding_smt_gives_each_worker_a_core() -> None:
    first = ask(4, exact=True, smt="avoid").placements[0]
    assert len({cpu // 2 for cpu in first.cpus}) == 4
    assert len({cpu // 8 for cpu in first.cpus}) == 1


def test_auto_shares_cores_only_when_there_are_too_few() -> None:
    assert len({cpu // 2 for cpu in ask(8).placements[0].cpus}) == 8
    assert ask(12).placements[0].workers == 12


def test_isolated_workers_are_spread() -> None:
    given = evidence(node_costs=NodeCosts({(0, 0): 80.0, (1, 1): 80.0}, {(0, 0): 2e10, (1, 1): 2e10}, 1e10))
    answer = ask(4, given, sharing="isolated", bound="memory")
    assert [cpu // 8 for cpu in sorted(answer.placements[0].cpus)] == [0, 0, 1, 1]
    assert answer.placements[0].nodes == (0, 1)


def test_memory_bound_work_gets_fewer_workers_once_bandwidth_is_used_up() -> None:
    given = evidence(node_costs=NodeCosts({}, {(0, 0): 2e10, (1, 1): 2e10}, 1e10))
    answer = ask(8, given, sharing="isolated", bound="memory")
    assert answer.placements[0].workers == 4
    assert "4 workers instead of 8" in reasons(answer)
    assert ask(8, given, sharing="isolated", bound="memory", exact=True).placements[0].workers == 8


def test_pipeline_stages_come_in_order() -> None:
    cpus = ask(4, sharing="pipeline", smt="avoid", exact=True).placements[0].cpus
    domains = [cpu // 4 for cpu in cpus]
    assert domains[0] == domains[1]
    assert domains[2] == domains[3]
    assert domains[0] // 2 == domains[2] // 2


def test_sparse_communication_keeps_talking_workers_together() -> None:
    edges = (Edge(0, 2, 10.0), Edge(1, 3, 10.0), Edge(0, 1, 0.1))
    cpus = ask(4, communication=edges, smt="avoid", exact=True).placements[0].cpus
    assert cpus[0] // 4 == cpus[2] // 4
    assert cpus[1] // 4 == cpus[3] // 4


# ------------------------------------------------------------------- simpler sets, and --exact


def test_within_the_error_the_simpler_set_comes_first() -> None:
    given = evidence(matrix=measured(noise=0.01), matrix_error_ratio=0.05)
    plain, exact = ask(4, given, smt="avoid"), ask(4, given, smt="avoid", exact=True)
    assert plain.placements[0].cpus != exact.placements[0].cpus
    assert sorted(plain.placements[0].cpus) in ([0, 2, 4, 6], [8, 10, 12, 14])
    assert "within the measurement's own error (5.0%)" in reasons(plain)
    assert exact.placements[0].cost_ns is not None
    assert plain.placements[0].cost_ns is not None
    assert exact.placements[0].cost_ns <= plain.placements[0].cost_ns


def test_beyond_the_error_the_nearest_set_comes_first() -> None:
    given = evidence(matrix=measured(near=(1, 3, 9, 11)), matrix_error_ratio=0.01)
    answer = ask(2, given, smt="avoid")
    assert sorted(answer.placements[0].cpus) in ([1, 3], [9, 11])


# ------------------------------------------------------------------------- evidence and trust


def test_without_results_it_says_what_to_measure_and_invents_no_gain() -> None:
    answer = ask(4, evidence(matrix=None))
    assert answer.advice == "leave"
    first = answer.placements[0]
    assert len({cpu // 8 for cpu in first.cpus}) == 1  # still what the topology suggests
    assert first.expected_gain_ratio is first.interval is first.cost_ns is None
    assert "`toposcope recommend --measure` does it" in reasons(answer)
    assert ("pair latencies", "absent") in [(used.what, used.basis) for used in first.evidence]


def test_measured_and_declared_evidence_never_read_the_same() -> None:
    declared, full = ask(4, evidence(matrix=None)), ask(4)
    shared = set(declared.placements[0].reasons) & set(full.placements[0].reasons)
    assert all("declared" in reason or "core" in reason or "was not measured" in reason for reason in shared)
    assert declared.placements[0].confidence < 0.5 * full.placements[0].confidence


@pytest.mark.parametrize(
    "worse",
    [
        {"age_s": 20 * 86400.0},
        {"age_s": None},
        {"placement": "unknown"},
        {"placement": "unstable"},
        {"matrix": None},
        {"matrix": Matrix(MACHINE.online_cpus, tuple(row if n < 6 else (None,) * 16 for n, row in enumerate(measured().cells)))},
    ],
    ids=["old", "no age", "unknown", "unstable", "nothing", "partly"],
)  # fmt: skip
def test_worse_evidence_lowers_the_confidence(worse: dict[str, Any]) -> None:
    assert ask(4, evidence(**worse)).placements[0].confidence < ask(4).placements[0].confidence


def test_unstable_places_are_left_alone() -> None:
    answer = ask(4, evidence(placement="unstable"))
    assert answer.advice == "leave"
    assert "unstable" in reasons(answer)


def test_old_evidence_is_said_to_be_old() -> None:
    assert "20.0 days old" in reasons(ask(4, evidence(age_s=20 * 86400.0)))


def test_unmeasured_relations_are_named() -> None:
    cells = tuple(
        tuple(ns if ns is not None and MACHINE.relation(a, b) != "smt" else None for b, ns in enumerate(row))
        for a, row in enumerate(measured().cells)
    )
    assert "no pair was measured for: smt" in reasons(
        ask(4, evidence(matrix=Matrix(MACHINE.online_cpus, cells)))
    )


def test_values_of_a_coarse_clock_are_not_believed() -> None:
    cells = tuple(tuple(0.0 if ns == 8.0 else ns for ns in row) for row in measured().cells)
    answer = ask(4, evidence(matrix=Matrix(MACHINE.online_cpus, cells)))
    assert "8 pairs read zero or less" in reasons(answer)


def test_all_cpus_or_a_flat_machine_are_left_alone() -> None:
    assert ask(16, exact=True, smt="allow").advice == "leave"
    flat = matrix_of_pairs(MACHINE.online_cpus, dict.fromkeys(itertools.combinations(range(16), 2), 40.0))
    answer = ask(4, evidence(matrix=flat))
    assert answer.advice == "leave"
    assert "within the error" in reasons(answer)


# --------------------------------------------------------------------------------------- load


def test_busy_cpus_are_left_out_while_others_do() -> None:
    busy = Load(busy_cpus=tuple(range(8)))
    answer = ask(4, evidence(load=busy))
    assert min(answer.placements[0].cpus) >= 8
    assert "0-7 are busy" in reasons(answer)
    with pytest.raises(UsageError, match="only 8 of the 16 CPUs"):
        ask(10, evidence(load=busy), exclusive=True)


def test_isolated_cpus_are_used_only_when_named() -> None:
    machine = dataclasses.replace(MACHINE, isolated_cpus=(0, 1, 2, 3))
    given = evidence(machine=machine)
    assert min(ask(2, given).placements[0].cpus) > 3
    assert sorted(ask(2, given, cpus=(0, 2)).placements[0].cpus) == [0, 2]


def test_memory_decides_nodes() -> None:
    given = evidence(load=Load(free_memory_bytes={0: 1 << 30, 1: 8 << 30}))
    answer = ask(4, given, sharing="isolated", bound="memory", memory_bytes_per_worker=1 << 30)
    assert sum(cpu < 8 for cpu in answer.placements[0].cpus) == 1


@pytest.mark.parametrize("nodes", [(), (0,)])
def test_shared_memory_bound_work_is_interleaved_where_it_needs_several_nodes(nodes: tuple[int, ...]) -> None:
    options: dict[str, Any] = {"nodes": nodes} if nodes else {}
    first = ask(8 if nodes else 16, smt="allow", bound="memory", **options).placements[0]
    assert first.nodes == (nodes or (0, 1))
    assert first.memory_policy == ("bind" if nodes else "interleave")


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("workers", "options", "sentence"),
    [
        (0, {}, "0 workers"),
        (17, {}, "17 workers can't have a CPU each on 16 CPUs"),
        (9, {"smt": "avoid", "exact": True}, "can't have a core each: 8 cores"),
        (2, {"cpus": (99,)}, "CPU 99 can't be used"),
        (2, {"cpus": (1, 2), "avoid_cpus": (1, 2)}, "no CPU is left"),
        (3, {"cpus": (1, 2)}, "only 2 of the 16 CPUs"),
        (2, {"nodes": (7,)}, "no NUMA node 7"),
        (2, {"nodes": ()}, "list of nodes is empty"),
        (2, {"memory_bytes_per_worker": -1}, "-1 bytes"),
        (2, {"memory_bytes_per_worker": 100 << 30}, "don't fit"),
        (2, {"sharing": "sometimes"}, "'sometimes'"),
        (2, {"communication": (Edge(0, 5),)}, "names worker 5"),
        (2, {"communication": (Edge(0, 1, float("nan")),)}, "weight"),
        (2, {"communication": (Edge(0, 1),), "sharing": "isolated"}, "said to be isolated"),
        (2, {"model": "fibres"}, "'fibres'"),
    ],
)
def test_impossible_requests_get_one_sentence_and_a_hint(
    workers: int, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        ask(workers, **options)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_fewer_workers_are_a_legal_answer_unless_exact() -> None:
    answer = ask(9, smt="avoid")
    assert answer.placements[0].workers == 8
    assert "8 workers instead of 9" in reasons(answer)


# ----------------------------------------------------------------------------------- documents


def test_where_latency_matters_fewer_workers_come_before_shared_cores() -> None:
    assert ask(12).placements[0].workers == 12
    assert ask(12, objective="latency").placements[0].workers == 8
    assert ask(12, objective="latency", exact=True).placements[0].workers == 12


def test_the_document_has_the_fixed_form() -> None:
    document = json.loads(json.dumps(to_document(ask(4))))
    assert {"mode", "request", "advice", "placements", "not_considered"} <= set(document)
    assert document["advice"] == "place"
    wanted = {
        "cpus",
        "nodes",
        "model",
        "expected_gain_ratio",
        "interval",
        "confidence",
        "reasons",
        "evidence",
        "commands",
    }
    assert wanted <= set(document["placements"][0])
    assert document["request"]["workers"] == 4


def test_it_is_deterministic() -> None:
    noisy = evidence(matrix=measured(noise=0.1))
    assert ask(5, noisy) == ask(5, noisy)


# -------------------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("options", "claim", "verdict", "model"),
    [
        ({}, "cooperative_prefers_threads", "confirmed", "threads"),
        ({}, "cooperative_prefers_threads", "refuted", "processes"),
        ({"sharing": "isolated"}, "isolated_suits_processes", "confirmed", "processes"),
        ({"sharing": "isolated"}, "isolated_suits_processes", "refuted", "process_per_l3_domain"),
        ({"sharing": "isolated", "bound": "memory"}, "isolated_suits_processes", "confirmed", "process_per_node"),
        ({"runtime": "python"}, "gil_threads_not_parallel", "confirmed", "processes"),
        ({"runtime": "python"}, "gil_threads_not_parallel", "refuted", "threads"),
        ({"runtime": "python", "bound": "io"}, "io_coroutines_beat_threads", "confirmed", "coroutines"),
        ({"runtime": "python", "bound": "io"}, "io_coroutines_beat_threads", "refuted", "threads"),
    ],
)  # fmt: skip
def test_the_model_follows_what_was_measured(
    options: dict[str, Any], claim: str, verdict: Any, model: str
) -> None:
    result = ClaimStanding(claim, verdict, 1.7, (1.5, 1.9))
    told = ask(8, evidence(claims=(result,)), **options)
    untold = ask(8, **options)
    assert told.placements[0].model == model
    assert f"{claim} is {verdict} on this host: ratio 1.7 (1.5 to 1.9)" in reasons(told)
    assert f"{claim} was not measured on this host" in reasons(untold)
    assert untold.placements[0].confidence < told.placements[0].confidence


@pytest.mark.parametrize(("ratio", "model"), [(1.2, "coroutines"), (0.7, "threads"), (None, "coroutines")])
def test_an_inconclusive_claim_is_followed_by_its_numbers_and_trusted_less(ratio: Any, model: str) -> None:
    open_question = ClaimStanding("io_coroutines_beat_threads", "inconclusive", ratio, (0.5, 1.6))
    answer = ask(4, evidence(claims=(open_question,)), runtime="python", bound="io")
    settled = ClaimStanding("io_coroutines_beat_threads", "confirmed", 1.7, (1.5, 1.9))
    sure = ask(4, evidence(claims=(settled,)), runtime="python", bound="io")
    assert answer.placements[0].model == model
    assert "inconclusive" in reasons(answer)
    assert answer.placements[0].confidence < sure.placements[0].confidence


def test_native_code_lets_sharing_python_work_use_coroutines() -> None:
    claims = (
        ClaimStanding("gil_threads_not_parallel", "confirmed"),
        ClaimStanding("native_code_escapes_gil", "confirmed"),
    )
    assert ask(4, evidence(claims=claims), runtime="python").placements[0].model == "coroutines_plus_native"
    isolated = ask(4, evidence(claims=claims), runtime="python", sharing="isolated")
    assert isolated.placements[0].model == "processes"


def test_a_model_that_the_program_has_already_is_kept() -> None:
    answer = ask(4, runtime="python", bound="io", model="threads")
    assert answer.placements[0].model == "threads"
    assert "io_coroutines_beat_threads" not in reasons(answer)


# ------------------------------------------------------------------------- one CPU for a Python server

SERVER: dict[str, Any] = {"runtime": "python", "bound": "io", "model": "threads"}


def test_a_threaded_python_server_gets_one_cpu_where_that_was_measured_to_gain() -> None:
    gain = OneCpuGain("threads", "python3", 1.9, 1.6, 2.1, age_s=60.0)
    # It rests on no pair, so that unstable places don't matter.
    answer = ask(4, evidence(one_cpu_gains=(gain,), placement="unstable"), **SERVER)
    first = answer.placements[0]
    assert (answer.advice, len(answer.placements), len(first.cpus), first.workers) == ("place", 1, 1, 1)
    assert (first.expected_gain_ratio, first.interval) == (1.9, (1.6, 2.1))
    assert first.confidence > 0.8
    assert "1.90 times as much on one CPU as on all" in reasons(answer)
    old = dataclasses.replace(gain, age_s=30 * 86_400.0)
    assert ask(4, evidence(one_cpu_gains=(old,)), **SERVER).placements[0].confidence < 0.5


@pytest.mark.parametrize(
    ("gains", "changes"),
    [
        ([], {}),
        ([OneCpuGain("threads", "a", 1.2, 0.9, 1.5)], {}),
        ([OneCpuGain("threads", "a", 1.9, 1.6, 2.1), OneCpuGain("threads", "free", 0.4, 0.3, 0.5)], {}),
        ([OneCpuGain("coroutines", "a", 1.9, 1.6, 2.1)], {}),
        ([OneCpuGain("threads", "a", 1.9, 1.6, 2.1)], {"bound": "cpu"}),
        ([OneCpuGain("threads", "a", 1.9, 1.6, 2.1)], {"runtime": "native"}),
        ([OneCpuGain("threads", "a", 1.9, 1.6, 2.1)], {"model": "processes"}),
        ([OneCpuGain("threads", "a", 1.9, 1.6, 2.1)], {"exact": True}),
    ],
    ids=["not measured", "not clear", "an interpreter loses", "other model", "computing", "native", "processes", "exact"],
)  # fmt: skip
def test_nothing_else_is_bound_to_one_cpu(gains: list[OneCpuGain], changes: dict[str, Any]) -> None:
    answer = ask(4, evidence(one_cpu_gains=tuple(gains)), **{**SERVER, **changes})
    assert len(answer.placements[0].cpus) == 4


def test_that_one_cpu_was_not_measured_is_said() -> None:
    assert "whether one CPU answers more was not measured" in reasons(ask(4, **SERVER))
    used = {one.what: one.basis for one in ask(4, **SERVER).placements[0].evidence}
    assert used["python_affinity, threads"] == "absent"
    assert not any("python_affinity" in one.what for one in ask(4).placements[0].evidence)
