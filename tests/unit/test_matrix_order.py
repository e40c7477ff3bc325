"""The matrix of a large machine: every class of pairs soon, every pair in time, nothing else held up by it."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.replays import BIG_384, TWO_SOCKETS, Model, machine
from toposcope.choices import probe_choices
from toposcope.config import Config
from toposcope.measure import loop
from toposcope.measure.budget import Budget
from toposcope.measure.matrix_order import Pair, pairs_by_turns
from toposcope.measure.plan import MATRIX_PAIRS_MAX, MATRIX_PROBE, Task, plan
from toposcope.measure.schedule import MATRIX_STEP_S, Schedule
from toposcope.topology.model import Machine

BIG_128 = Model("Replay 128", l3_domains_per_package=4)
_DAY_S = 86_400.0
# CPU time of a process start and of the daemon's own work a visit, and its scrapes (bench/bench_budget.py).
_START_S, _OWN_S, _SCRAPES_RATIO = 0.0015, 0.0015, 0.0016 / 15
_BUDGET_RATIO = 0.01


def _class_of(described: Machine, pair: Pair) -> tuple[str, frozenset[int]]:
    domains = described.cache_partition(3) or ()
    inside = {index for cpu in pair for index, members in enumerate(domains) if cpu in members}
    return described.relation(*pair), frozenset(inside)


def _matrix(tasks: tuple[Task, ...]) -> list[Task]:
    return [task for task in tasks if task.tier == 2]


def _plan(described: Machine, *, is_lasting: bool = True) -> tuple[Task, ...]:
    return plan(
        described,
        probe_choices(Config()),
        cpus=described.online_cpus,
        interpreters=("python3",),
        is_lasting=is_lasting,
    )


@settings(deadline=None)
@given(
    packages=st.integers(1, 2),
    domains=st.integers(1, 3),
    cores=st.integers(1, 4),
    threads=st.integers(1, 2),
    seed=st.integers(0, 9),
)
def test_every_pair_comes_once_and_every_class_before_the_second_of_any(
    packages: int, domains: int, cores: int, threads: int, seed: int
) -> None:
    described = machine(
        Model("any", packages=packages, l3_domains_per_package=domains, cores_per_l3=cores, threads=threads)
    )
    pairs = pairs_by_turns(described, described.online_cpus, MATRIX_PAIRS_MAX, seed)
    assert sorted(pairs) == list(itertools.combinations(described.online_cpus, 2))
    class_count = len({_class_of(described, pair) for pair in pairs})
    first = [_class_of(described, pair) for pair in pairs[:class_count]]
    assert len(set(first)) == class_count


def test_of_too_many_pairs_every_class_keeps_its_share() -> None:
    described = machine(BIG_384)
    pairs = pairs_by_turns(described, described.online_cpus, MATRIX_PAIRS_MAX, 0)
    assert len(pairs) == len(set(pairs)) == MATRIX_PAIRS_MAX
    sizes = Counter(_class_of(described, pair) for pair in pairs)
    by_relation = defaultdict(set)
    for (relation, _), size in sizes.items():
        by_relation[relation].add(size)
    assert len(sizes) == 24 + 24 + 24 * 23 // 2
    assert by_relation["smt"] == {8}, "a domain of eight cores has no more"
    assert min(size for (relation, _), size in sizes.items() if relation != "smt") >= 26
    assert {cpu for pair in pairs for cpu in pair} == set(described.online_cpus)


def test_the_daemon_plans_the_whole_matrix_of_128_cpus_and_each_pair_in_one_direction() -> None:
    described = machine(BIG_128)
    of_matrix_probe = [
        task.identity.target.cpus
        for task in _plan(described)
        if task.spec.name == MATRIX_PROBE and task.identity.variant == {"model": "thread", "home": "first"}
    ]
    assert sorted(tuple(sorted(pair)) for pair in of_matrix_probe) == list(
        itertools.combinations(described.online_cpus, 2)
    )
    assert {task.choice.interval_s for task in _matrix(_plan(described))} == {7 * _DAY_S}


def test_who_has_no_days_measures_no_large_matrix() -> None:
    assert not _matrix(_plan(machine(BIG_128), is_lasting=False))
    assert _matrix(_plan(machine(TWO_SOCKETS), is_lasting=False))


class _Simulation:
    """The schedule of a machine under the default budgets, by the specs' costs; every visit as it was made."""

    def __init__(self, tasks: tuple[Task, ...], duration_s: float) -> None:
        self.times_s: dict[str, list[float]] = defaultdict(list)
        self.spent_s = self.now_s = 0.0
        self._schedule = Schedule(tasks, 0.0)
        long_ratio = _BUDGET_RATIO * loop._LONG_VISITS_SHARE
        self._short = Budget(_BUDGET_RATIO - long_ratio, 0.0, loop._FIRST_CREDIT_S)
        self._long = Budget(long_ratio, 0.0)
        while self.now_s < duration_s:
            self._step()

    def _step(self) -> None:
        begin_s = self.now_s
        self.now_s += max(self._schedule.wait_s(self.now_s) or 0.0, self._short.wait_s(self.now_s))
        self._charge(self._short, _SCRAPES_RATIO * (self.now_s - begin_s))
        picked = self._schedule.next_task(self.now_s)
        if picked is None:
            return
        task = picked[0]
        if task.is_long and (delay_s := self._long.wait_s(self.now_s)) > 0:
            self._schedule.defer(self.now_s, delay_s)
            return
        self.times_s[task.identity.id].append(self.now_s)
        cpus = 2 if task.spec.target.value == "interpreter" else len(task.identity.target.cpus)
        cost_s = task.spec.visit_ms / 1000 * cpus + _START_S
        self._charge(self._long if task.is_long else self._short, cost_s)
        self._charge(self._short, _OWN_S)
        self.now_s += task.spec.visit_ms / 1000
        self._schedule.done(self.now_s)

    def _charge(self, budget: Budget, cost_s: float) -> None:
        budget.charge(cost_s, self.now_s)
        self.spent_s += cost_s


@pytest.mark.parametrize(
    ("model", "days"), [(BIG_128, 1), pytest.param(BIG_384, 2.5, marks=pytest.mark.slow)]
)
def test_a_large_matrix_is_complete_within_days_and_within_the_budget(model: Model, days: float) -> None:
    tasks = _plan(machine(model))
    matrix = [task.identity.id for task in _matrix(tasks)]
    assert 8_000 < len(matrix) < MATRIX_PAIRS_MAX
    found = _Simulation(tasks, days * _DAY_S)
    firsts_s = [found.times_s[each][0] for each in matrix if each in found.times_s]
    assert len(firsts_s) == len(matrix)
    assert max(firsts_s) >= len(matrix) * MATRIX_STEP_S, "no faster than a pair a step"
    assert found.spent_s <= _BUDGET_RATIO * days * _DAY_S + loop._FIRST_CREDIT_S


def _longest_gaps_s(tasks: tuple[Task, ...]) -> dict[str, tuple[float, float]]:
    """Of every representative whose visits are short: the longest time between two, and its interval."""
    duration_s = _DAY_S / 2
    found = _Simulation(tasks, duration_s)
    regular = [task for task in tasks if task.tier == 0 and not task.is_long]
    gaps = {}
    for task in regular:
        if task.choice.interval_s <= 3600:
            times_s = [*found.times_s[task.identity.id], duration_s]
            longest_s = max(after - before for before, after in itertools.pairwise(times_s))
            gaps[task.identity.id] = longest_s, task.choice.interval_s
    return gaps


def test_representatives_come_in_time_from_the_first_hour_on_and_the_matrix_delays_none() -> None:
    described = machine(BIG_128)
    beside_it, without = (_longest_gaps_s(_plan(described, is_lasting=lasting)) for lasting in (True, False))
    assert beside_it.keys() == without.keys()
    for name, (gap_s, interval_s) in beside_it.items():
        assert gap_s < 1.5 * interval_s, name
        assert gap_s < 1.1 * without[name][0] + 30, name


def test_after_a_restart_the_matrix_goes_on_where_it_was() -> None:
    matrix = _matrix(_plan(machine(BIG_128)))
    visited = {task.identity.id: 3600.0 for task in matrix[:1000]}
    schedule = Schedule(matrix, 0.0, visited)
    taken: list[str] = []
    now_s = 0.0
    while len(taken) < 50:
        now_s += schedule.wait_s(now_s) or 0.0
        picked = schedule.next_task(now_s)
        assert picked is not None
        if picked[0].identity.id not in visited:
            taken.append(picked[0].identity.id)
        schedule.done(now_s)
    assert taken == [task.identity.id for task in matrix[1000:1050]]
    assert now_s == pytest.approx(50 * MATRIX_STEP_S)


def test_a_full_look_takes_the_matrix_step_by_step_and_in_its_order() -> None:
    matrix = _matrix(_plan(machine(BIG_128)))[:100]
    schedule = Schedule(matrix, 0.0, {task.identity.id: 0.0 for task in matrix})
    assert schedule.hasten(0.0, lambda _: True) == len(matrix)
    taken: list[str] = []
    now_s = 0.0
    while len(taken) < len(matrix):
        now_s += schedule.wait_s(now_s) or 0.0
        picked = schedule.next_task(now_s)
        assert picked is not None
        taken.append(picked[0].identity.id)
        schedule.done(now_s)
    assert taken == [task.identity.id for task in matrix]
    assert now_s == pytest.approx(len(matrix) * MATRIX_STEP_S)
