"""Which task comes when; the time is handed in, so a day of it passes in a test in no time.

A new task is visited in a burst (modes show up within seconds or not at all), later once an interval. Due
times are absolute, with a fixed phase per task, so that visits neither drift nor bunch. The matrix is filled
pair by pair, a step apart, and goes on after a restart where it was.

When there is more due than the budget allows, that goes first which has to be done soonest, an interval after
it was due (earliest deadline first: Liu and Layland, J. ACM 20, 1973), lower tiers with a head start: nothing
starves, and what comes once a week holds up nothing that comes every ten minutes.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from toposcope.measure.plan import Task

BURST_VISITS: Final = 10
BURST_INTERVAL_S: Final = 3.0
_TIER_HEAD_START_S: Final = 30.0
# Visits of more CPU time than this come once an interval from the start: bursts of them would take hours. Of
# random pairs (tier 1) there are more, and the matrix' (tier 2) are many: the representatives tell of modes.
_BURST_CPU_MS_MAX: Final = {0: 50.0, 1: 25.0}
_MATRIX_TIER: Final = 2
# Pairs of the matrix that were never visited come one by one, so far apart, instead of all at once: 2,016
# pairs take 4.5 hours, 8,192 take 18, and some 0.09 % of a CPU meanwhile.
MATRIX_STEP_S: Final = 8.0
# A task whose CPUs are busy comes back after this long.
POSTPONE_S: Final = 5.0


@dataclass(slots=True)
class _Entry:
    task: Task
    due_s: float
    position: int  # in the plan
    visits: int = 0
    postponed_since_s: float | None = None


@dataclass(order=True, slots=True)
class _Ready:
    key: float
    order: int
    entry: _Entry = field(compare=False)


class Schedule:
    """The tasks and when each is due, on a monotonic clock."""

    def __init__(
        self, tasks: Sequence[Task], now_s: float, ages_s: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        """`ages_s` holds the age of the newest visit of each known result: there is no burst for these.

        They are due after their phase, and no later than an interval after that visit: a schedule that is
        made anew at every restart, reload or hotplug must not put long intervals off again and again.
        """
        self._waiting: list[tuple[float, int, _Entry]] = []
        self._ready: list[_Ready] = []
        self._orders = 0
        unvisited = 0
        for position, task in enumerate(tasks):
            entry = _Entry(task, now_s, position)
            if _is_of_matrix(task) and task.identity.id not in ages_s:
                unvisited += 1
                entry.due_s += unvisited * MATRIX_STEP_S
            if task.cpu_ms > _BURST_CPU_MS_MAX.get(task.tier, 0.0):
                entry.visits = BURST_VISITS
            if (age_s := ages_s.get(task.identity.id)) is not None:
                entry.visits = BURST_VISITS
                interval_s = task.choice.interval_s
                # The wall clock may have stepped: ages below zero and beyond all measure are harmless.
                entry.due_s = now_s + min(_phase(task) * interval_s, max(0.0, interval_s - max(0.0, age_s)))
            self._push(entry)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._ready)

    def next_task(self, now_s: float) -> tuple[Task, bool] | None:
        """The task to visit now and whether it has waited too long for its CPUs; None if none is due.

        The task has to be given back by `done` or `postpone`.
        """
        while self._waiting and self._waiting[0][0] <= now_s:
            entry = heapq.heappop(self._waiting)[2]
            self._orders += 1
            key = entry.due_s + entry.task.choice.interval_s + entry.task.tier * _TIER_HEAD_START_S
            heapq.heappush(self._ready, _Ready(key, self._orders, entry))
        if not self._ready:
            return None
        entry = heapq.heappop(self._ready).entry
        self._current = entry
        since_s = entry.postponed_since_s
        patience_s = entry.task.choice.max_age_s if entry.visits else BURST_INTERVAL_S
        return entry.task, since_s is not None and now_s - since_s >= patience_s

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until a task is due; 0 if one is, None if there is no task at all."""
        if self._ready:
            return 0.0
        return max(0.0, self._waiting[0][0] - now_s) if self._waiting else None

    def done(self, now_s: float, *, settled: bool = False, again_soon: bool = False) -> None:
        """The task last given out was visited; `settled` where a burst of visits would tell no more.

        `again_soon` where the visit has to be confirmed.
        """
        entry = self._current
        entry.visits = BURST_VISITS if settled else entry.visits + 1
        entry.postponed_since_s = None
        interval_s = entry.task.choice.interval_s
        if entry.visits < BURST_VISITS or again_soon:
            entry.due_s = now_s + min(BURST_INTERVAL_S, interval_s)
        else:
            entry.due_s = now_s + interval_s * (0.9 + 0.2 * _phase(entry.task))
        self._push(entry)

    def postpone(self, now_s: float) -> None:
        """The task last given out was not visited since its CPUs are busy."""
        entry = self._current
        if entry.postponed_since_s is None:
            entry.postponed_since_s = now_s
        entry.due_s = now_s + (POSTPONE_S if entry.visits else 0.5)
        self._push(entry)

    def defer(self, now_s: float, delay_s: float) -> None:
        """The task last given out was not visited since its budget is spent for the next `delay_s`."""
        self._current.due_s = now_s + delay_s
        self._push(self._current)

    def hasten(self, now_s: float, wanted: Callable[[Task], bool]) -> int:
        """Make the wanted tasks due now, each for one visit, and the matrix' pairs from now on, a step apart.

        Returns how many were due later.
        """
        hastened = steps = 0
        for entry in sorted((entry for _, _, entry in self._waiting), key=lambda entry: entry.position):
            if not wanted(entry.task):
                continue
            steps += _is_of_matrix(entry.task)
            due_s = now_s + (steps * MATRIX_STEP_S if _is_of_matrix(entry.task) else 0.0)
            if entry.due_s > due_s:
                entry.due_s = due_s
                hastened += 1
        self._waiting = [(entry.due_s, order, entry) for _, order, entry in self._waiting]
        heapq.heapify(self._waiting)
        return hastened

    @property
    def postponed_count(self) -> int:
        """How many tasks wait for CPUs that are busy."""
        entries = [*(entry for _, _, entry in self._waiting), *(ready.entry for ready in self._ready)]
        return sum(entry.postponed_since_s is not None for entry in entries)

    def _push(self, entry: _Entry) -> None:
        self._orders += 1
        heapq.heappush(self._waiting, (entry.due_s, self._orders, entry))


def _is_of_matrix(task: Task) -> bool:
    return task.tier == _MATRIX_TIER


def _phase(task: Task) -> float:
    """A number in [0, 1) that belongs to the task: spreads the visits of many over their interval."""
    return zlib.crc32(task.identity.id.encode()) / 2**32
