"""Days of scheduling in no time: bursts, intervals, fairness, and budgets that hold."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toposcope.measure.budget import Budget
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.measure.schedule import BURST_VISITS, Schedule
from toposcope.results import Identity, Target
from toposcope_probes.contract import Measure, ProbeSpec, TargetKind

_SPEC = ProbeSpec("p", "Help.", "operation", TargetKind.PAIR, (Measure("latency_ns", "help"),))


def _task(cpu: int, interval_s: float = 300.0, tier: int = 0) -> Task:
    return Task(ProbeChoice(_SPEC, interval_s, 3600.0), Identity("p", Target((0, cpu)), {}), tier)


def _run(schedule: Schedule, duration_s: float, cost_s: float = 0.01) -> list[tuple[float, int]]:
    """Visit whatever is due, each visit taking `cost_s`; (time, cpu) of each."""
    now_s, visits = 0.0, []
    while now_s < duration_s:
        wait_s = schedule.wait_s(now_s)
        assert wait_s is not None
        now_s += wait_s
        picked = schedule.next_task(now_s)
        if picked is None:
            continue
        visits.append((now_s, picked[0].identity.target.cpus[1]))
        now_s += cost_s
        schedule.done(now_s)
    return visits


def test_a_new_task_is_visited_in_a_burst_and_then_once_an_interval() -> None:
    times = [time for time, _ in _run(Schedule([_task(1)], 0.0), 3600.0)]
    assert times[BURST_VISITS - 1] < 40
    gaps = [after - before for before, after in itertools.pairwise(times[BURST_VISITS:])]
    assert all(270 <= gap <= 330.1 for gap in gaps)
    assert len(gaps) > 9


def test_what_was_visited_before_a_restart_needs_no_burst() -> None:
    task = _task(1)
    times = [time for time, _ in _run(Schedule([task], 0.0, {task.identity.id: 0.0}), 600.0)]
    assert len(times) <= 3


def test_nothing_starves_when_more_is_due_than_there_is_time_for() -> None:
    tasks = [_task(cpu, interval_s=10.0, tier=cpu % 3) for cpu in range(1, 31)]
    visits = _run(Schedule(tasks, 0.0), 2000.0, cost_s=1.0)
    counts = [sum(cpu == task.identity.target.cpus[1] for _, cpu in visits) for task in tasks]
    assert min(counts) > 0.1 * max(counts)
    for tier in range(3):
        equals = [count for task, count in zip(tasks, counts, strict=True) if task.tier == tier]
        assert min(equals) > 0.9 * max(equals)


def test_a_busy_cpu_is_postponed_until_it_has_waited_too_long() -> None:
    schedule, now_s = Schedule([_task(1)], 0.0, {_task(1).identity.id: 0.0}), 0.0
    waited = []
    for _ in range(2000):
        now_s += schedule.wait_s(now_s) or 0.0
        picked = schedule.next_task(now_s)
        assert picked is not None
        if picked[1]:
            break
        waited.append(now_s)
        schedule.postpone(now_s)
    assert now_s - waited[0] == pytest.approx(3600.0, abs=6.0)


def test_a_settled_task_skips_the_burst() -> None:
    schedule = Schedule([_task(1)], 0.0)
    assert schedule.next_task(0.0) is not None
    schedule.done(0.0, settled=True)
    assert (schedule.wait_s(0.0) or 0.0) > 250


def test_an_empty_schedule_has_nothing_to_wait_for() -> None:
    assert Schedule([], 0.0).wait_s(0.0) is None


@given(st.lists(st.floats(0.0001, 0.5), min_size=5, max_size=60), st.floats(0.001, 0.2))
def test_the_average_cost_stays_within_the_ratio(costs: list[float], ratio: float) -> None:
    budget, now_s = Budget(ratio, 0.0), 0.0
    for cost_s in costs:
        now_s += budget.wait_s(now_s)
        budget.charge(cost_s, now_s)
        now_s += cost_s
    now_s += budget.wait_s(now_s)
    assert budget.spent_s <= ratio * now_s + 1e-9


def test_an_idle_night_buys_at_most_a_minute() -> None:
    budget = Budget(0.01, 0.0)
    assert budget.balance_s(30_000.0) == pytest.approx(0.6)
    assert Budget(0.0, 0.0).wait_s(1.0) == float("inf")


def test_a_schedule_that_is_made_anew_again_and_again_puts_nothing_off() -> None:
    """Reloads and hotplug every ten minutes; intervals of hours come all the same."""
    tasks = [_task(number, interval_s=4 * 3600.0) for number in range(20)]
    last_s = {task.identity.id: 0.0 for task in tasks}
    visits = dict.fromkeys(last_s, 0)
    for now_s in range(0, 86_400, 600):
        schedule = Schedule(tasks, float(now_s), {each: now_s - time_s for each, time_s in last_s.items()})
        while (picked := schedule.next_task(now_s + 599.0)) is not None:
            visits[picked[0].identity.id] += 1
            last_s[picked[0].identity.id] = now_s + 599.0
            schedule.done(now_s + 599.0)
    assert min(visits.values()) >= 5, visits


def test_a_clock_that_stepped_spoils_no_schedule() -> None:
    task = _task(1)
    for age_s in (-1e9, 1e9):
        wait_s = Schedule([task], 0.0, {task.identity.id: age_s}).wait_s(0.0)
        assert wait_s is not None
        assert 0 <= wait_s <= task.choice.interval_s
