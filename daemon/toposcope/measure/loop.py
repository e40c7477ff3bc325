"""The measuring loop: pick a task, visit it, keep and show what came of it, stay within the budgets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from toposcope.clock import Clock
from toposcope.errors import StoreError, ToposcopeError
from toposcope.measure.budget import Budget
from toposcope.measure.limits import RateLimits
from toposcope.measure.load import BUSY_RATIO, LoadMeter
from toposcope.measure.lock import WHO_HOLDS_IT, Patience
from toposcope.measure.plan import Task
from toposcope.measure.revalidation import Next, Revalidation
from toposcope.measure.schedule import Schedule
from toposcope.measure.visit import Surveyed, Visitor
from toposcope.results import Identity, Result, Visit
from toposcope.view import View

Recorder = Callable[[Identity, str, Visit], Awaitable[None]]

_log = logging.getLogger(__name__)

# CPU time that may be spent before the first second has passed, so that first results come soon.
_FIRST_CREDIT_S: Final = 0.5
_SATURATION_CREDIT_S: Final = 2.0
# Long visits (`Task.is_long`) are paid from a share of the budget of their own, so that the debt of one of
# them (seconds of Python, all CPUs of a large machine) keeps no short one waiting for hours. The plan of 384
# CPUs needs this share.
_LONG_VISITS_SHARE: Final = 2 / 3
# Share of what comes in for short visits that the daemon's own work may take, and how much of it may be owed.
_OWN_WORK_SHARE_MAX: Final = 0.5
_OWN_DEBT_S_MAX: Final = 0.5
# The loop waits in steps of this length. One that takes longer by more than the allowance means that the
# daemon was stopped meanwhile (SIGSTOP, a frozen cgroup, a paused guest): that time earns no budget, or what
# was not measured would be made up for in one burst.
_WAIT_STEP_S: Final = 0.5
_LATE_S_MAX: Final = 0.1
# After a program that can't be started or a store that can't be written, wait this long.
_FAULT_PAUSE_S: Final = 5.0


class MeasuringLoop:
    """Visits the tasks of a plan for as long as it runs; `record` commits before the view shows."""

    def __init__(
        self,
        view: View,
        record: Recorder,
        clock: Clock,
        *,
        budget_ratio: float,
        saturation_ratio: float,
    ) -> None:
        now_s = clock.monotonic_s()
        self._short = Budget(budget_ratio * (1 - _LONG_VISITS_SHARE), now_s, _FIRST_CREDIT_S)
        self._long = Budget(budget_ratio * _LONG_VISITS_SHARE, now_s)
        self._saturation = Budget(saturation_ratio, now_s, _SATURATION_CREDIT_S)
        self._budget_ratio = budget_ratio
        self._limits = RateLimits(_FIRST_CREDIT_S, _SATURATION_CREDIT_S)
        self.current: Task | None = None
        self.lock_waits = 0
        self.lock_ignored = 0
        self.turned_s = now_s
        self._view = view
        self._record = record
        self._clock = clock
        self._load = LoadMeter(clock, view.machine.online_cpus)
        self._patience = Patience()
        self._visitor = Visitor(
            clock, steal_ms=self._load.steal_ms, on_wait=self._count_lock_wait, patience=self._patience
        )
        self._schedule = Schedule((), now_s)
        self._revalidation = Revalidation()
        self._full_looks = 0
        self._set_limits()
        self._changed = asyncio.Event()
        self._own_cpu_s = time.process_time()
        self._own_charged_s = now_s
        self._own_debt_s = 0.0

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Measure these from now on; what was visited before keeps its place in the order of things."""
        wall_s = self._clock.wall_s()
        ages_s = {result.identity.id: wall_s - result.last_time_s for result in self._view.results}
        self._schedule = Schedule(tasks, self._clock.monotonic_s(), ages_s)
        self._revalidation = Revalidation()
        self._set_limits()
        self._load.set_cpus(self._view.machine.online_cpus)
        self._changed.set()

    def charge(self, cpu_s: float) -> None:
        """Book the cost of something else that the daemon started."""
        self._long.charge(cpu_s, self._clock.monotonic_s())

    def set_ratios(self, budget_ratio: float, saturation_ratio: float) -> None:
        """Spend that much from now on: CPU time, and time with a memory node or cache saturated."""
        self._budget_ratio = budget_ratio
        self._short.ratio = budget_ratio * (1 - _LONG_VISITS_SHARE)
        self._long.ratio = budget_ratio * _LONG_VISITS_SHARE
        self._saturation.ratio = saturation_ratio
        self._set_limits()
        self._changed.set()

    def _set_limits(self) -> None:
        machine = self._view.machine
        self._limits.set(
            budget_ratio=self._budget_ratio,
            saturation_ratio=self._saturation.ratio,
            cpu_count=len(machine.online_cpus),
            node_count=len(machine.numa_nodes),
        )

    @property
    def task_count(self) -> int:
        """How many targets and variants are visited."""
        return len(self._schedule)

    async def run(self) -> None:
        """Measure until cancelled; a visit under way is then killed and reaped."""
        while True:
            await self._wait_until_due()
            schedule = self._schedule
            picked = schedule.next_task(self._clock.monotonic_s())
            if picked is None:
                continue
            task, overdue = picked
            now_s = self._clock.monotonic_s()
            if (delay_s := self._unpaid_s(task, now_s)) > 0:
                schedule.defer(now_s, delay_s)
                continue
            busy = self._load.is_busy(task.identity.target.cpus)
            if busy and not overdue:
                schedule.postpone(now_s)
                continue
            try:
                settled, again_soon = await self._visit(task, busy)
            except ToposcopeError as error:
                _log.error("%s: %s", task.identity.id, error.message)
                await asyncio.sleep(_FAULT_PAUSE_S)
                settled = again_soon = False
            schedule.done(self._clock.monotonic_s(), settled=settled, again_soon=again_soon)

    async def visit_now(self, tasks: Sequence[Task], visits: int) -> list[Result]:
        """Visit some tasks on request, in turns, whatever is due; the budget is charged all the same."""
        found: dict[str, Result] = {}
        # Asked before the first visit: later on the CPUs are busy with these visits themselves.
        busy = {task.identity.id: self._load.is_busy(task.identity.target.cpus) for task in tasks}
        for _ in range(visits):
            for task in tasks:
                await self._visit(task, busy[task.identity.id])
                result = self._view.result(task.identity.id)
                if result is not None:
                    found[task.identity.id] = result
        return list(found.values())

    async def _wait_until_due(self) -> None:
        """Until a task is due and the budget of short visits is out of debt."""
        while True:
            now_s = self.turned_s = self._clock.monotonic_s()
            self._charge_own_cpu(now_s)
            due_s = self._schedule.wait_s(now_s)
            wait_s = max(_WAIT_STEP_S if due_s is None else due_s, self._short.wait_s(now_s))
            if wait_s <= 0:
                return
            step_s = min(wait_s, _WAIT_STEP_S)
            self._changed.clear()
            try:
                async with asyncio.timeout(step_s):
                    await self._changed.wait()
            except TimeoutError:
                self._forgo_stopped(now_s + step_s)

    def _forgo_stopped(self, expected_s: float) -> None:
        """A step of waiting was to end then: what it took longer, the daemon was stopped for."""
        now_s = self._clock.monotonic_s()
        stopped_s = now_s - expected_s
        if stopped_s > _LATE_S_MAX:
            for budget in (self._short, self._long, self._saturation, self._limits):
                budget.forgo(stopped_s, now_s)
            self._own_charged_s += stopped_s

    def _charge_own_cpu(self, now_s: float) -> None:
        """The daemon's own work (scrapes, store, this loop) counts as well as its kernels'.

        But at most half of what came in meanwhile: else those who ask often enough would stop all measuring.
        """
        used_s = time.process_time()
        owed_s = min(self._own_debt_s + used_s - self._own_cpu_s, _OWN_DEBT_S_MAX)
        paid_s = min(owed_s, self._short.ratio * (now_s - self._own_charged_s) * _OWN_WORK_SHARE_MAX)
        self._short.charge(paid_s, now_s)
        self._own_cpu_s, self._own_charged_s, self._own_debt_s = used_s, now_s, owed_s - paid_s

    def _unpaid_s(self, task: Task, now_s: float) -> float:
        """Seconds until the budgets that only some tasks need allow this one."""
        waits = [self._limits.wait_s(task.identity.target.cpus, self._saturated_nodes(task), now_s)]
        if task.spec.saturates:
            waits.append(self._saturation.wait_s(now_s))
        if task.is_long:
            waits.append(self._long.wait_s(now_s))
        return max(waits)

    def _saturated_nodes(self, task: Task) -> tuple[int, ...]:
        """The nodes whose memory a task's visit saturates, or whose caches it evicts."""
        if not task.spec.saturates:
            return ()
        target = task.identity.target
        homes = {self._view.machine.node_of(cpu) for cpu in target.cpus} | {target.node}
        return tuple(node for node in homes if node is not None)

    async def _visit(self, task: Task, busy: bool) -> tuple[bool, bool]:
        """Visit, commit, show; whether more in a row would tell nothing new, and whether to confirm soon."""
        self.current = task
        was_patient = not self._patience.is_out
        try:
            surveyed = await self._visitor.visit(task, busy=busy)
        finally:
            self.current = None
        self._count_lost_patience(was_patient)
        self._charge(task, surveyed)
        visit = surveyed.visit
        measure = task.spec.measures[0].name
        try:
            await self._record(task.identity, measure, visit)
        except StoreError as error:
            # Not shown either: what is served has to be there after a crash.
            _log.error("%s", error.message)
            await asyncio.sleep(_FAULT_PAUSE_S)
            return False, False
        before = self._view.result(task.identity.id)
        result = self._view.add(task.identity, measure, visit)
        self._view.count(task.spec.name, visit, cpu_s=surveyed.cpu_s, fault=surveyed.fault)
        _log_change(before, result)
        return visit.verdict == "not_applicable", task.tier == 0 and self._revalidate(task, before, visit)

    def _revalidate(self, task: Task, before: Result | None, visit: Visit) -> bool:
        """Look at everything again where a representative moved; true where that has to be confirmed."""
        now_s = self._clock.monotonic_s()
        asked_for = self._revalidation.observe(before, visit, now_s)
        if asked_for is Next.FULL_LOOK:
            self._full_looks += 1
            count = self._schedule.hasten(now_s, lambda each: not each.is_long)
            _log.warning("%s moved: looking at %d other targets again", task.identity.id, count)
            self._changed.set()
        return asked_for is Next.LOOK_AGAIN

    def _charge(self, task: Task, surveyed: Surveyed) -> None:
        now_s = self._clock.monotonic_s()
        duration_s = surveyed.visit.duration_s
        (self._long if task.is_long else self._short).charge(surveyed.cpu_s, now_s)
        nodes = self._saturated_nodes(task)
        self._limits.charge(task.identity.target.cpus, surveyed.cpu_s, nodes, duration_s, now_s)
        if task.spec.saturates:
            self._saturation.charge(duration_s, now_s)

    def _count_lock_wait(self) -> None:
        self.lock_waits += 1
        _log.info("another process is measuring: waiting for it")

    def _count_lost_patience(self, was_patient: bool) -> None:
        """A visit was made beside whoever holds the measuring lock: that is an error when it begins."""
        if not self._patience.is_out:
            return
        self.lock_ignored += 1
        if was_patient:
            _log.error(
                "another process keeps the measuring lock (%s shows which): measuring beside it", WHO_HOLDS_IT
            )

    def status(self) -> dict[str, Any]:
        """What the loop does now and what it has cost, for `status` and the metrics."""
        now_s = self._clock.monotonic_s()
        return {
            "measuring": self.current.identity.id if self.current else None,
            "tasks": self.task_count,
            "lock_waits": self.lock_waits,
            "lock_ignored": self.lock_ignored,
            "full_looks": self._full_looks,
            "postponed": self._schedule.postponed_count,
            "cpu_pressure_ratio": self._load.pressure_ratio,
            "busy_cpus": [
                cpu for cpu in self._view.machine.online_cpus if self._load.busy_ratio(cpu) > BUSY_RATIO
            ],
            "budget": {
                "cpu": _about(now_s, self._short, self._long),
                "saturation": _about(now_s, self._saturation),
            },
        }


def _about(now_s: float, *budgets: Budget) -> dict[str, float]:
    return {
        "ratio": sum(budget.ratio for budget in budgets),
        "spent_s": sum(budget.spent_s for budget in budgets),
        "balance_s": sum(budget.balance_s(now_s) for budget in budgets),
    }


def _log_change(before: Result | None, result: Result) -> None:
    if before is None or before.verdict != result.verdict:
        reason = f": {result.reason}" if result.reason else ""
        _log.info("%s is %s%s", result.identity.id, result.verdict, reason)
