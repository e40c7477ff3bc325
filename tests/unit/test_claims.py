from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toposcope import claims, claims_pairs, report
from toposcope.claims_core_sets import NO_TWO_CORE_SETS, farthest_apart
from toposcope.claims_flips import flips
from toposcope.claims_table import ALSO, COMPARISONS, NAMES
from toposcope.claims_wanted import wanted
from toposcope.measure.plan import Task
from toposcope.results import Estimate, Identity, Target, Verdict, Visit
from toposcope.topology.model import Cache, Machine
from toposcope_probes import find

ONE_PACKAGE = Machine(True, (0, 1), packages=((0, 1),))
TWO_PACKAGES = Machine(True, tuple(range(8)), packages=((0, 1, 2, 3), (4, 5, 6, 7)))
TWO_L3 = Machine(
    True,
    tuple(range(8)),
    packages=(tuple(range(8)),),
    caches=(Cache(3, "Unified", 1, (0, 1, 2, 3)), Cache(3, "Unified", 1, (4, 5, 6, 7))),
)


def value(point: float, spread: float = 0.02) -> Estimate:
    low, high = point * (1 - spread), point * (1 + spread)
    return Estimate(point, low, point, high, low, high, 0.0)


def series(
    probe: str,
    measure: str,
    points: Sequence[float],
    *,
    target: Target | None = None,
    verdict: Verdict = "ok",
    facts: dict[str, object] | None = None,
    spread: float = 0.02,
    reason: str = "",
    **variant: str,
) -> claims.Series:
    interpreter = "python3" if find(probe) and probe.startswith(("python", "crash")) else None
    target = target or Target((0, 1), interpreter=interpreter)
    visits = [
        Visit(
            float(k),
            0.1,
            verdict,
            reason,
            {measure: value(point, spread)} if point >= 0 else {},
            facts=facts or {},
        )
        for k, point in enumerate(points)
    ]
    return claims.Series(Identity(probe, target, variant), visits)


def judged(name: str, *table: claims.Series, machine: Machine = ONE_PACKAGE) -> claims.Claim:
    found = claims.judge(table, machine)
    assert [claim.claim for claim in found] == list(NAMES)
    return next(claim for claim in found if claim.claim == name)


def spawn(thread_ns: float, process_ns: float, **more: Any) -> tuple[claims.Series, ...]:
    return (
        series("python_spawn", "create_ns", [thread_ns] * 3, model="thread", **more),
        series("python_spawn", "create_ns", [process_ns] * 3, model="process_fork", **more),
    )


def test_there_are_fourteen_and_all_are_tested_somewhere() -> None:
    assert len(NAMES) == len(set(NAMES)) == 14
    assert {comparison.claim for comparison in COMPARISONS} == set(NAMES)


def test_without_measurements_every_claim_is_not_applicable_with_a_reason() -> None:
    for claim in claims.judge([], ONE_PACKAGE):
        assert claim.verdict == "not_applicable"
        assert claim.reason
        assert claim.ratio is None
        assert claim.interval is None


def test_comparisons_name_probes_variants_and_measures_that_exist() -> None:
    for comparison in COMPARISONS:
        spec = find(comparison.probe)
        assert spec is not None, comparison.probe
        assert comparison.measure in {measure.name for measure in spec.measures}
        for side in (comparison.favoured, comparison.other):
            for variant in side.variants:
                assert all(chosen in spec.variants[key] for key, chosen in variant.items()), comparison


@pytest.mark.parametrize(
    ("thread_ns", "process_ns", "verdict"),
    [
        (100.0, 1000.0, "confirmed"),
        (1000.0, 100.0, "refuted"),
        (100.0, 100.0, "refuted"),
        (100.0, 110.0, "inconclusive"),
    ],
)
def test_the_interval_against_the_threshold_decides(
    thread_ns: float, process_ns: float, verdict: str
) -> None:
    claim = judged("thread_create_cheaper", *spawn(thread_ns, process_ns))
    assert claim.verdict == verdict
    assert claim.ratio == pytest.approx(process_ns / thread_ns)
    assert claim.interval is not None
    assert claim.interval[0] <= claim.ratio <= claim.interval[1]
    assert "a thread" in claim.sentence
    assert claim.numbers["cases"]["Python python3"]["pairs"] == 3


def test_pairing_takes_out_what_changes_with_time() -> None:
    slow_then_fast = [100.0, 400.0, 100.0, 400.0, 100.0, 400.0, 100.0]
    claim = judged(
        "thread_create_cheaper",
        series("python_spawn", "create_ns", slow_then_fast, model="thread"),
        series("python_spawn", "create_ns", [2 * v for v in slow_then_fast], model="process_fork"),
    )
    assert claim.verdict == "confirmed"
    assert claim.interval == pytest.approx((2.0, 2.0))


def test_the_cheapest_way_to_make_a_process_is_the_one_compared() -> None:
    table = [*spawn(100, 90), series("python_spawn", "create_ns", [1e6] * 3, model="process_spawn")]
    claim = judged("thread_create_cheaper", *table)
    assert claim.verdict == "refuted"
    assert claim.numbers["cases"]["Python python3"]["also"] == {"model=process_spawn": 1e6}


def test_one_refuted_case_refutes_and_is_named() -> None:
    native = [series("spawn", "create_ns", [v] * 3, model=m) for v, m in ((10, "thread"), (99, "process"))]
    claim = judged("thread_create_cheaper", *native, *spawn(1000, 10))
    assert claim.verdict == "refuted"
    assert "python3" in claim.sentence
    assert "native: confirmed" in claim.reason
    assert judged("thread_create_cheaper", *native, *spawn(100, 110)).verdict == "confirmed"


def test_failed_visits_do_not_count_and_their_reason_is_told() -> None:
    failed = series("python_spawn", "create_ns", [1.0], model="thread", verdict="failed", reason="deadline")
    claim = judged("thread_create_cheaper", failed, spawn(1, 1)[1])
    assert claim.verdict == "not_applicable"
    assert "deadline" in claim.reason


def scaling(
    thread: float, process: float, coroutine: float = 1.0, native: float = 1.9, workers: int = 2
) -> list[claims.Series]:
    facts: dict[str, object] = {"workers": workers}
    given = [
        ("thread", "python", thread), ("process_fork", "python", process), ("asyncio_task", "python", coroutine),
        ("asyncio_task", "native", native), ("process_fork", "native", process),
    ]  # fmt: skip
    return [
        series("python_scaling", "parallelism_ratio", [ratio] * 3, facts=facts, model=model, work=work)
        for model, work, ratio in given
    ]


@pytest.mark.parametrize(
    ("thread", "process", "verdict"),
    [(0.95, 1.9, "confirmed"), (1.9, 1.9, "refuted"), (0.9, 1.0, "inconclusive"), (1.0, 1.3, "inconclusive")],
)
def test_gil(thread: float, process: float, verdict: str) -> None:
    claim = judged("gil_threads_not_parallel", *scaling(thread, process))
    assert claim.verdict == verdict
    if process < 1.3:
        assert "not free" in claim.reason


def test_parallel_claims() -> None:
    assert judged("coroutines_not_parallel", *scaling(1, 1.9)).verdict == "confirmed"
    assert judged("coroutines_not_parallel", *scaling(1, 1.9, coroutine=1.9)).verdict == "refuted"
    assert judged("native_code_escapes_gil", *scaling(1, 1.9)).verdict == "confirmed"
    assert judged("native_code_escapes_gil", *scaling(1, 1.9, native=1.0)).verdict == "refuted"
    assert judged("native_code_escapes_gil", *scaling(1, 1.0, native=1.0)).verdict == "inconclusive"
    alone = judged("gil_threads_not_parallel", *scaling(1, 1, workers=1))
    assert (alone.verdict, alone.reason) == ("not_applicable", "one CPU: nothing can run in parallel")
    many = judged("gil_threads_not_parallel", *scaling(1, 40, workers=64))
    assert many.verdict == "confirmed"
    assert many.numbers["threshold"] == pytest.approx(1 + 0.3 * 63)


def test_where_parallelism_is_judged_the_speed_up_is_told_beside_it() -> None:
    speedups = [
        series("python_scaling", "speedup_ratio", [1.1] * 3, facts={"workers": 2}, model=model, work="python")
        for model in ("thread", "process_fork")
    ]
    both = [
        claims.Series(one.identity, [
            Visit(v.time_s, 0.1, "ok", "", {**v.measures, **w.measures}, facts=v.facts)
            for v, w in zip(one.visits, other.visits, strict=True)
        ])
        for one, other in zip(scaling(1, 1.9)[:2], speedups, strict=True)
    ]  # fmt: skip
    claim = judged("gil_threads_not_parallel", *both)
    assert claim.verdict == "confirmed", "on siblings of one core even processes gain little"
    (case,) = claim.numbers["cases"].values()
    assert case["speedup_ratio"] == {"processes": 1.1, "threads": 1.1}
    assert "speed-up: processes 1.10, threads 1.10" in claim.sentence


def crash(process: float, thread: float) -> list[claims.Series]:
    return [
        series("crash_containment", "survivors_ratio", [share] * 3, model=model)
        for model, share in (("process", process), ("thread", thread))
    ]


def test_crash_is_a_difference_since_nobody_may_survive() -> None:
    claim = judged("process_crash_contained", *crash(1.0, 0.0))
    assert (claim.verdict, claim.ratio) == ("confirmed", 1.0)
    assert judged("process_crash_contained", *crash(0.0, 0.0)).verdict == "refuted"
    assert judged("process_crash_contained", *crash(1.0, 1.0)).verdict == "refuted"


def test_switch_stall_channel_and_io() -> None:
    def switch(measure: str, thread: float, task: float) -> list[claims.Series]:
        pairs = (("thread", thread), ("asyncio_task", task))
        return [series("python_switch", measure, [ns] * 3, model=model) for model, ns in pairs]

    assert judged("coroutine_switch_cheaper", *switch("switch_ns", 9e3, 2e3)).verdict == "confirmed"
    assert judged("coroutine_switch_cheaper", *switch("switch_ns", 2e3, 9e3)).verdict == "refuted"
    assert judged("coroutine_not_preempted", *switch("stall_ns", 6e6, 40e6)).verdict == "confirmed"
    assert judged("coroutine_not_preempted", *switch("stall_ns", 6e6, 6e6)).verdict == "refuted"


def channel(costs: dict[tuple[str, str], float]) -> list[claims.Series]:
    return [
        series("python_channel", "round_trip_ns", [ns] * 3, channel=name, size_bytes=size)
        for (name, size), ns in costs.items()
    ]


def test_channels_and_where_the_answer_flips() -> None:
    table = channel({
        ("queue", "64"): 50.0, ("simple_queue", "64"): 40.0, ("pipe", "64"): 80.0, ("shared_memory", "64"): 41.0,
        ("queue", "65536"): 50.0, ("pipe", "65536"): 200.0, ("shared_memory", "65536"): 90.0,
    })  # fmt: skip
    claim = judged("thread_communication_faster", *table)
    assert claim.verdict == "confirmed"
    assert claim.ratio == pytest.approx(2.0)
    told = claim.numbers["flips"]["python3"]
    assert told["processes_keep_up_at_bytes"] == [64]
    assert told["threads_faster_from_bytes"] == 65536
    assert told["says"] == [
        "Processes keep up with threads at messages of 64 B.",
        "64 B there and back: threads 40 ns by simple_queue, processes 41 ns by shared_memory.",
        "64 KiB there and back: threads 50 ns by queue, processes 90 ns by shared_memory.",
    ]


def test_io_and_the_number_of_connections_from_which_coroutines_win() -> None:
    rates = {
        ("thread", "10"): 100.0,
        ("asyncio", "10"): 90.0,
        ("thread", "1000"): 50.0,
        ("asyncio", "1000"): 90.0,
    }
    table = [
        series("python_io", "requests_per_s", [rate] * 3, model=model, work="echo", connections=count)
        for (model, count), rate in rates.items()
    ]
    claim = judged("io_coroutines_beat_threads", *table)
    assert claim.verdict == "confirmed"
    told = claim.numbers["flips"]["python3"]
    assert told["echo coroutines_win_from_connections"] == 1000
    (says,) = told["says"]
    assert says.startswith(
        "Where it answers at once, asyncio answers more than threads from 1000 connections"
    )
    assert says.endswith("(1000 connections: 90/s against 50/s).")


def test_task_length_from_which_workers_pay_has_none_as_the_longest() -> None:
    curve = [{"task_ns": 1e6, "speedup_ratio": 1.5}, {"task_ns": 3e7, "speedup_ratio": 1.9}]
    table = [
        series("python_scaling", "speedup_ratio", [1.5], facts={"pays_from_ns": pays, "length_curve": curve},
               model=model, work=work)
        for model, work, pays in (("thread", "native", 1e6), ("thread", "python", None))
    ]  # fmt: skip
    told = flips("thread_create_cheaper", [(one.identity, one.visits) for one in table])["python3"]
    assert told["thread native pays_from_ns"] == 1e6
    assert told["thread native speedup_ratio by task_ns"] == {"1000000": 1.5, "30000000": 1.9}
    assert told["thread python pays_from_ns"] is None
    assert told["says"] == [
        "Threads made for work in C pay from tasks of 1 ms on.",
        "Threads made for work in Python pay at no length of a task up to 30 ms.",
    ]


def on(name: str, cpus: tuple[int, ...], probe: str, rate: float, model: str) -> claims.Series:
    target = Target(cpus, core_set=name)
    return series(probe, "edges_per_s", [rate] * 3, target=target, model=model)


@pytest.mark.parametrize(
    ("machine", "words"), [(TWO_PACKAGES, "across packages"), (TWO_L3, "within one package")]
)
def test_near_against_far_falls_back_to_the_widest_level_and_says_so(machine: Machine, words: str) -> None:
    table = [
        on(name, cpus, probe, rate, model)
        for name, cpus, rate in (
            ("compact:2", (0, 1), 9.0), ("spread:2", (0, 4), 9.0),
            ("compact:4", (0, 1, 2, 3), 200.0), ("spread:4", (0, 4, 1, 5), 100.0), ("compact:8", tuple(range(8)), 1.0),
        )
        for probe, model in (("workload_bfs", "thread"), ("workload_pagerank", "process"))
    ]  # fmt: skip
    near = judged("same_package_beats_cross_package", *table, machine=machine)
    assert (near.verdict, near.ratio) == ("confirmed", pytest.approx(2.0))
    assert words in near.sentence
    assert "4 CPUs" in near.sentence
    far = judged("isolated_work_free_across_packages", *table, machine=machine)
    assert (far.verdict, far.ratio) == ("refuted", pytest.approx(0.5))


def test_with_two_cpus_there_is_no_far() -> None:
    table = [on("compact:2", (0, 1), "workload_bfs", 9.0, model) for model in ("thread", "process")]
    claim = judged("same_package_beats_cross_package", *table)
    assert (claim.verdict, claim.reason) == ("not_applicable", NO_TWO_CORE_SETS)
    assert judged("cooperative_prefers_threads", *table).verdict == "refuted"


def test_the_widest_then_the_narrowest_then_the_largest_is_chosen() -> None:
    sets = {"compact:2": (0, 1), "spread:2": (0, 4), "compact:8": tuple(range(8))}
    chosen = farthest_apart(TWO_PACKAGES, sets, [2, 4, 8])
    assert chosen is not None
    assert (chosen.size, chosen.near, chosen.far) == (2, "within one package", "across packages")
    assert farthest_apart(ONE_PACKAGE, {"compact:2": (0, 1)}, [2]) is None


def test_wanted_covers_what_the_claims_rest_on() -> None:
    names = {(one.probe, tuple(one.variant.items())): one.claims for one in wanted()}
    for comparison in COMPARISONS:
        for variant in (*comparison.favoured.variants, *comparison.other.variants):
            assert comparison.claim in names[comparison.probe, tuple(variant.items())]
    assert () in names.values()


def test_what_is_wanted_exists() -> None:
    assert {one.probe for one in wanted()} >= set(ALSO)
    for one in wanted():
        spec = find(one.probe)
        assert spec is not None
        assert all(chosen in spec.variants[key] for key, chosen in one.variant.items()), one


@given(
    st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=20),
    st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=20),
)
def test_the_interval_holds_the_ratio(above: list[float], below: list[float]) -> None:
    ratio, (low, high), pairs = claims_pairs.paired_ratio(
        [value(v) for v in above], [value(v) for v in below]
    )
    assert low <= ratio <= high
    assert pairs == min(len(above), len(below))


def test_a_case_says_who_was_measured() -> None:
    facts: dict[str, object] = {"implementation": "CPython", "version": "3.13.5", "gil": "disabled",
                                "start_method": None, "libraries": {}, "workers": 2}  # fmt: skip
    claim = judged("thread_create_cheaper", *spawn(100, 1000, facts=facts))
    assert "python3 (CPython 3.13.5, no GIL)" in claim.sentence
    (case,) = claim.numbers["cases"].values()
    assert case["measured_with"]["a thread"] == {key: facts[key] for key in facts if key != "workers"}


@pytest.mark.parametrize(
    ("process_ns", "is_settled"),
    [(1000.0, True), (115.0, False), (106.0, False), (110.0, False), (90.0, True)],
)
def test_a_verdict_that_hangs_on_a_few_more_visits_is_not_settled(
    process_ns: float, is_settled: bool
) -> None:
    assert judged("thread_create_cheaper", *spawn(100, process_ns)).is_settled is is_settled
    assert judged("thread_create_cheaper").is_settled


def test_a_claim_that_is_clearly_refuted_is_settled_whatever_else_is_open() -> None:
    native = [series("spawn", "create_ns", [v] * 3, model=m) for v, m in ((99, "thread"), (10, "process"))]
    assert judged("thread_create_cheaper", *native, *spawn(100, 110)).is_settled
    native = [series("spawn", "create_ns", [v] * 3, model=m) for v, m in ((10, "thread"), (99, "process"))]
    assert not judged("thread_create_cheaper", *native, *spawn(100, 110)).is_settled


class Visits:
    """Stands in for measuring: each side comes out as `point` tells from its identity and number of visits."""

    def __init__(self, point: Callable[[Identity, int], float]) -> None:
        self._point = point
        self._series: dict[str, claims.Series] = {}

    def visited(self) -> report.Visited:
        return [(one.identity, one.visits) for one in self._series.values()]

    def visit(self, task: Task) -> None:
        identity = task.identity
        visits = []
        for k in range(self.count(identity.id) + 1):
            told = {measure.name: value(self._point(identity, k)) for measure in task.spec.measures}
            visits.append(Visit(float(k), 0.1, "ok", "", told, facts={"workers": 2}))
        self._series[identity.id] = claims.Series(identity, visits)

    def count(self, result_id: str) -> int:
        return len(self._series[result_id].visits) if result_id in self._series else 0


def report_rounds(visits: Visits) -> list[list[Task]]:
    found = []
    for tasks in report.rounds(ONE_PACKAGE, cpus=(0, 1), interpreters=("python3",), visited=visits.visited):
        found.append(tasks)
        for task in tasks:
            visits.visit(task)
    return found


PYTHON = "/cpus=0,1;interpreter=python3/model="


def test_the_report_visits_both_sides_in_turn_and_ends() -> None:
    visits = Visits(
        lambda identity, _: 1000.0 if identity.variant.get("model", "").startswith("process") else 10.0
    )
    found = report_rounds(visits)
    assert {visits.count(f"python_spawn{PYTHON}{model}") for model in ("thread", "process_fork")} == {3}
    assert visits.count(f"python_spawn{PYTHON}process_spawn") == 1
    assert len({task.identity.id for task in found[0]}) < len(found[0]), "kernels come several times"


def test_the_report_goes_on_with_what_is_close_and_ends_all_the_same() -> None:
    visits = Visits(
        lambda identity, k: 107.0 + k % 2 * 6 if identity.variant == {"model": "thread"} else 100.0
    )
    report_rounds(visits)
    assert {visits.count(f"python_switch{PYTHON}{model}") for model in ("thread", "asyncio_task")} == {
        claims_pairs.PAIRS_MAX
    }
    assert visits.count(f"crash_containment{PYTHON}thread") < claims_pairs.PAIRS_MAX


def test_what_hung_is_not_visited_again_and_no_visit_may_outlast_the_report() -> None:
    class Hanging(Visits):
        def visit(self, task: Task) -> None:
            assert task.spec.deadline_ms <= report.VISIT_S_MAX * 1000
            super().visit(task)
            if task.identity.variant.get("model") == "thread" and task.spec.name == "python_switch":
                hung = Visit(0.0, 20.0, "failed", "deadline", {})
                self._series[task.identity.id] = claims.Series(task.identity, [hung])

    visits = Hanging(lambda identity, _: 100.0 if identity.variant.get("model") == "thread" else 10.0)
    found = report_rounds(visits)
    visited = [task.identity.id for tasks in found for task in tasks]
    assert visited.count(f"python_switch{PYTHON}thread") == 1
    assert visits.count(f"python_switch{PYTHON}asyncio_task") >= 3
    assert report.VISITING_S_MAX + report.VISIT_S_MAX < report.ENDS_S_MAX < 180
    judged = {claim.claim: claim for claim in report.judged(visits.visited(), ONE_PACKAGE)}
    assert "deadline" in judged["coroutine_switch_cheaper"].reason


def test_a_report_that_ran_out_of_time_says_which_claims_miss_visits() -> None:
    series = [*spawn(100, 1000), *scaling(1, 1.35)]
    visited = [(one.identity, one.visits) for one in series]
    found = {claim.claim: claim.reason for claim in report.judged(visited, ONE_PACKAGE, cut_short=True)}
    assert found["gil_threads_not_parallel"].endswith(claims.TIME_WAS_UP), "close to its threshold"
    assert found["isolated_suits_processes"] == f"not measured; {claims.TIME_WAS_UP}"
    assert found["thread_create_cheaper"] == ""
