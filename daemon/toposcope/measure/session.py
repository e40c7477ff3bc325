"""Measuring at once, without a daemon: the same visits, one after the other, for `measure` and `matrix`."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from toposcope.clock import Clock
from toposcope.measure.plan import Task
from toposcope.measure.validity import judge_result
from toposcope.measure.visit import Surveyed, Visitor
from toposcope.results import Identity, Result, Visit
from toposcope_probes.contract import Program, TargetKind

# Pairs that one process measures in some tenth of a second: its start and the wait for the disk after it cost
# as much as several of them, and what was measured is kept after each.
_PAIRS_TOGETHER_MAX: Final = 128

OnVisit = Callable[[Task, Visit], None]
Keep = Callable[[Sequence[tuple[Task, Visit]]], None]
Look = Callable[[], Awaitable[frozenset[int]]]


class Session:
    """Visits tasks once or several times; what it has so far can be read at any time.

    `on_visit` hears of each visit at once and must not fail; `keep` is handed the visits of each process when
    it has ended, also where that is because somebody lost patience. `look` tells which CPUs others keep busy;
    it is asked once, before the first visit that feels such load.
    """

    def __init__(
        self,
        visitor: Visitor,
        clock: Clock,
        on_visit: OnVisit,
        keep: Keep = lambda _: None,
        look: Look | None = None,
    ) -> None:
        self._visitor = visitor
        self._clock = clock
        self._on_visit = on_visit
        self._keep_all = keep
        self._look = look
        self._busy_cpus: frozenset[int] = frozenset()
        self._unkept: list[tuple[Task, Visit]] = []
        self._tasks: dict[str, Task] = {}
        self._visits: dict[str, list[Visit]] = {}

    async def measure(self, rounds: Iterable[Sequence[Task]], *, budget_s: float | None = None) -> None:
        """Visit the tasks of every round in turn; start nothing more once `budget_s` has passed.

        A round is asked for when the one before is done, so it may depend on what was visited.
        """
        begin_s = self._clock.monotonic_s()
        for tasks in rounds:
            for together in batches(tasks):
                if budget_s is not None and self._clock.monotonic_s() - begin_s >= budget_s:
                    return
                await self._visit_all(together)

    async def _visit_all(self, tasks: Sequence[Task]) -> None:
        """In one process, or in as many more as broke off: each of them did one target at least."""
        busy = await self._is_felt(tasks)
        while tasks:
            try:
                hear = self._keep_each(tasks)
                done = await self._visitor.visit_together(tasks, busy=busy, on_surveyed=hear)
            finally:
                unkept, self._unkept = self._unkept, []
                self._keep_all(unkept)
            tasks = tasks[len(done) :]

    async def _is_felt(self, tasks: Sequence[Task]) -> bool:
        """Whether these tasks, which are of one probe, feel the load of CPUs that others keep busy."""
        if not tasks[0].spec.feels_load:
            return False
        if self._look is not None:
            look, self._look = self._look, None
            self._busy_cpus = await look()
        return any(not self._busy_cpus.isdisjoint(task.identity.target.cpus) for task in tasks)

    def _keep_each(self, tasks: Sequence[Task]) -> Callable[[Surveyed], None]:
        pending = iter(tasks)

        def keep(surveyed: Surveyed) -> None:
            self._keep(next(pending), surveyed)

        return keep

    def _keep(self, task: Task, surveyed: Surveyed) -> None:
        result_id = task.identity.id
        self._tasks[result_id] = task
        self._visits.setdefault(result_id, []).append(surveyed.visit)
        self._unkept.append((task, surveyed.visit))
        self._on_visit(task, surveyed.visit)

    def visited(self) -> list[tuple[Identity, Sequence[Visit]]]:
        """Every visit so far, by result."""
        return [(task.identity, self._visits[result_id]) for result_id, task in self._tasks.items()]

    def results(self) -> list[Result]:
        """A result for every task visited so far, in the order of the first visits."""
        return [
            judge_result(task.identity, task.spec.measures[0].name, self._visits[result_id])
            for result_id, task in self._tasks.items()
        ]


def batches(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Tasks that one process can measure: runs of pairs of the same probe and variant, others alone."""

    def kind(task: Task) -> tuple[object, ...]:
        if task.spec.target is not TargetKind.PAIR or task.spec.program is not Program.KERNEL:
            return (task.identity.id,)
        return (task.spec.name, *sorted(task.identity.variant.items()))

    for _, run in itertools.groupby(tasks, kind):
        members = list(run)
        for start in range(0, len(members), _PAIRS_TOGETHER_MAX):
            yield members[start : start + _PAIRS_TOGETHER_MAX]
