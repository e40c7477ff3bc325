"""The report in the daemon: measured when asked for, or every `report.interval_s` where that is configured.

Its visits take up to three minutes of most CPUs, which the continuous budget would spread over hours. So
they are made at once and outside the budget, and that is said: in the log, in the status, as an event.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from toposcope import claims, report
from toposcope.clock import Clock
from toposcope.errors import ToposcopeError
from toposcope.measure.load import LoadMeter
from toposcope.measure.plan import Task
from toposcope.measure.visit import Visitor
from toposcope.results import Identity, Visit
from toposcope.view import View

_log = logging.getLogger(__name__)

# A probe that nothing but a report (or a person) runs: its last visit tells when the last report was.
_TELLTALE: Final = "crash_containment"
# After the start first results come first.
_START_DELAY_S: Final = 300.0
_LOOK_INTERVAL_S: Final = 60.0

Recorder = Callable[[Identity, str, Visit], Awaitable[None]]
# The CPUs and the interpreters that may be measured now.
Choose = Callable[[], tuple[Sequence[int], Sequence[str]]]


class Reporter:
    """Makes reports one at a time; what was measured is recorded and shown like any other visit."""

    def __init__(
        self,
        view: View,
        record: Recorder,
        event: Callable[[str, dict[str, Any]], Awaitable[None]],
        choose: Choose,
        clock: Clock,
        interval_s: float | None,
    ) -> None:
        self.interval_s = interval_s
        self._view = view
        self._record = record
        self._event = event
        self._choose = choose
        self._clock = clock
        self._asked = asyncio.Event()
        self._started_s = clock.monotonic_s()
        self._visits = 0
        self._cpu_s = 0.0
        self._is_complete = False
        self._is_measuring = False

    def ask(self) -> dict[str, Any]:
        """Make a report soon, unless one is being made; the status."""
        if not self._is_measuring:
            self._asked.set()
        return self.status()

    def status(self) -> dict[str, Any]:
        """What the reporter does; `visits` are those of the report being made, or of the last one."""
        return {
            "state": "measuring" if self._is_measuring else "asked" if self._asked.is_set() else "idle",
            "visits": self._visits,
            "interval_s": self.interval_s,
            "outside_budget": True,
        }

    async def run(self) -> None:
        """Make a report whenever one is asked for or due, until cancelled."""
        while True:
            await self._wait_until_wanted()
            self._asked.clear()
            self._is_measuring = True
            try:
                await self._make()
            except ToposcopeError as error:
                _log.error("the report could not be measured: %s", error.message)
            finally:
                self._is_measuring = False

    async def _wait_until_wanted(self) -> None:
        while not self._asked.is_set() and not self._is_due():
            try:
                await asyncio.wait_for(self._asked.wait(), _LOOK_INTERVAL_S)
            except TimeoutError:
                continue

    def _is_due(self) -> bool:
        if self.interval_s is None or self._clock.monotonic_s() - self._started_s < _START_DELAY_S:
            return False
        return self._clock.wall_s() - self._last_time_s() >= self.interval_s

    def _last_time_s(self) -> float:
        times = [one.last_time_s for one in self._view.results if one.identity.probe == _TELLTALE]
        return max(times, default=0.0)

    async def _make(self) -> None:
        """Visit round by round what the claims rest on, within the report's own limit of time."""
        begin_s = self._clock.monotonic_s()
        _log.info(
            "measuring the report, outside probes.budget_ratio, for %g s at most", report.VISITING_S_MAX
        )
        self._visits, self._cpu_s, self._is_complete = 0, 0.0, False
        await report.within(report.ENDS_S_MAX, self._visit_rounds(begin_s + report.VISITING_S_MAX))
        duration_s = self._clock.monotonic_s() - begin_s
        outcome = "complete" if self._is_complete else claims.TIME_WAS_UP
        _log.info(
            "the report: %d visits, %.0f s, %.0f s of CPU time; %s",
            self._visits, duration_s, self._cpu_s, outcome,
        )  # fmt: skip
        told = {
            "visits": self._visits, "duration_s": duration_s, "cpu_s": self._cpu_s, "outside_budget": True,
            "is_complete": self._is_complete,
        }  # fmt: skip
        await self._event("report_measured", told)

    async def _visit_rounds(self, until_s: float) -> None:
        """Visit what the rounds ask for; begin no visit after `until_s` on the monotonic clock."""
        cpus, interpreters = self._choose()
        meter = LoadMeter(self._clock, self._view.machine.online_cpus)
        visitor = Visitor(self._clock, steal_ms=meter.steal_ms)
        seen: dict[str, tuple[Identity, list[Visit]]] = {}
        rounds = report.rounds(
            self._view.machine, cpus=cpus, interpreters=interpreters, visited=lambda: list(seen.values())
        )
        for task in itertools.chain.from_iterable(rounds):
            if self._clock.monotonic_s() > until_s:
                return
            visit = await self._visit(visitor, task)
            seen.setdefault(task.identity.id, (task.identity, []))[1].append(visit)
        self._is_complete = True

    async def _visit(self, visitor: Visitor, task: Task) -> Visit:
        """One visit, recorded before it is shown."""
        surveyed = await visitor.visit(task)
        measure = task.spec.measures[0].name
        await self._record(task.identity, measure, surveyed.visit)
        self._view.add(task.identity, measure, surveyed.visit)
        self._view.count(task.spec.name, surveyed.visit, cpu_s=surveyed.cpu_s, fault=surveyed.fault)
        self._visits += 1
        self._cpu_s += surveyed.cpu_s
        return surveyed.visit
