"""One visit: take the machine-wide lock, run the program, judge what it said.

Shared by the daemon and by `toposcope measure`. What goes wrong in a program (crash, hang, garbage) becomes
a `failed` visit with a reason; only a missing program is an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from toposcope.clock import Clock
from toposcope.measure import runner, validity, wire
from toposcope.measure.estimate import estimate_visit
from toposcope.measure.lock import Patience, measuring_lock
from toposcope.measure.plan import Task, arguments
from toposcope.results import Estimate, Verdict, Visit
from toposcope_probes.contract import ProbeSpec, Program

# Lines of a program with many targets are read and judged together, so often; the steal counter has ticks of
# 10 ms, and on few CPUs each reading disturbs what is measured meanwhile.
_LOOK_S: Final = 0.02
_DETAIL_LENGTH_MAX: Final = 300


@dataclass(slots=True)
class Surveyed:
    """What a visit brought: the visit itself, its cost, and why its program failed (short, countable)."""

    visit: Visit
    cpu_s: float
    fault: str = ""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A line, the time that its target took (an equal share where several came at once), and when it came."""

    text: bytes
    duration_s: float
    time_s: float


class Visitor:
    """Carries visits out. `steal_ms` reads the steal counter of some CPUs, before and after a visit.

    Waits for others who measure, with `patience` no longer than that lasts.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        steal_ms: Callable[[Sequence[int]], float],
        on_wait: Callable[[], None] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._clock = clock
        self._steal_ms = steal_ms
        self._on_wait = on_wait
        self._patience = patience

    async def visit(self, task: Task, *, busy: bool = False) -> Surveyed:
        """Measure a task's target once. Raises ToposcopeError where its program isn't installed."""
        (surveyed,) = await self.visit_together([task], busy=busy)
        return surveyed

    async def visit_together(
        self,
        tasks: Sequence[Task],
        *,
        busy: bool = False,
        on_surveyed: Callable[[Surveyed], None] | None = None,
    ) -> list[Surveyed]:
        """Measure the targets of several tasks of one probe and variant in one process, in their order.

        Saves a process start a target (1 ms). Where the program breaks off, the target that it was at has a
        failed visit, and those after it were not visited: the list ends there. `on_surveyed` hears of each
        visit soon after it was made, so that an interrupted matrix keeps what it has.
        """
        assert tasks, "nothing to visit"
        cpus = sorted({cpu for task in tasks for cpu in task.identity.target.cpus})
        hearing = _Hearing(tasks, self._clock, busy, on_surveyed)
        async with measuring_lock(self._on_wait, patience=self._patience):
            hearing.listen(lambda: self._steal_ms(cpus))
            try:
                outcome = await runner.run(
                    command(tasks),
                    deadline_s=tasks[0].spec.deadline_ms / 1000,
                    deadline_is_for_each_line=True,
                    on_line=hearing.take,
                    on_pause=hearing.look,
                    pause_s=_LOOK_S if len(tasks) > 1 else 0.0,
                    environment={"PYTHONDONTWRITEBYTECODE": "1"},
                    clock=self._clock,
                )
            finally:
                hearing.judge_heard()
        return hearing.close(outcome)


class _Hearing:
    """Takes the program's lines as they come, one a task, and judges them some at a time.

    The counters of the surroundings are read once for all lines of a look, not for each: a read costs as
    much as a tenth of a pair on a large machine, and the counters only move in ticks.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        clock: Clock,
        busy: bool,
        on_surveyed: Callable[[Surveyed], None] | None,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._busy = busy
        self._on_surveyed = on_surveyed
        self._surveyed: list[Surveyed] = []
        self._texts: list[bytes] = []
        self._garbage = ""
        self._superfluous = False
        self._steal_ms: Callable[[], float] = lambda: 0.0
        self._steal_before_ms = 0.0
        self._judged_s = 0.0

    def listen(self, steal_ms: Callable[[], float]) -> None:
        """The program starts now; `steal_ms` tells what the hypervisor ever took from its CPUs."""
        self._steal_ms = steal_ms
        self._steal_before_ms = steal_ms()
        self._judged_s = self._clock.monotonic_s()

    def take(self, text: bytes) -> None:
        """One line of the program's output."""
        self._texts.append(text)

    def look(self) -> None:
        """All lines that are there were taken: judge them, unless that was done a moment ago."""
        if self._clock.monotonic_s() - self._judged_s >= _LOOK_S:
            self.judge_heard()

    def judge_heard(self) -> None:
        """Judge the lines since the last look, by what happened on their CPUs meanwhile."""
        steal_ms = self._steal_ms()
        surroundings = validity.Surroundings(steal_ms=steal_ms - self._steal_before_ms, busy=self._busy)
        now_s, time_s = self._clock.monotonic_s(), self._clock.wall_s()
        texts, self._texts = self._texts, []
        for text in texts:
            self._judge(_Heard(text, (now_s - self._judged_s) / len(texts), time_s), surroundings)
        self._steal_before_ms, self._judged_s = steal_ms, now_s

    def _judge(self, heard: _Heard, surroundings: validity.Surroundings) -> None:
        try:
            line = wire.decode(heard.text)
        except wire.GarbageError as error:
            self._garbage = self._garbage or str(error)
            return
        first = len(self._surveyed)
        if first == len(self._tasks):
            self._superfluous = True
            return
        awaited = range(first, len(self._tasks))
        found = next((i for i in awaited if self._tasks[i].identity.target.cpus == line.cpus), None)
        if found is None:
            self._garbage = self._garbage or f"a line about CPUs {list(line.cpus)} that were not asked for"
            return
        for _ in range(first, found):
            # Other targets' lines were garbage or left out: these are lost, and those after them are not.
            self._add(
                self._failed("garbage" if self._garbage else "no_result", self._garbage, heard.duration_s)
            )
        task = self._tasks[len(self._surveyed)]
        visit = _judge(task, line, surroundings, heard)
        self._add(Surveyed(visit, 0.0, "program_failed" if line.status == "failed" else ""))

    def _failed(self, fault: str, detail: str, duration_s: float) -> Surveyed:
        reason = f"{fault}: {detail[:_DETAIL_LENGTH_MAX]}" if detail else fault
        return Surveyed(Visit(self._clock.wall_s(), duration_s, "failed", reason, {}), 0.0, fault)

    def _add(self, surveyed: Surveyed) -> None:
        self._surveyed.append(surveyed)
        # What a lone target took and whether its program ended well is known only at the end: see `close`.
        if self._on_surveyed is not None and len(self._tasks) > 1:
            self._on_surveyed(surveyed)

    def close(self, outcome: runner.Outcome) -> list[Surveyed]:
        """The program has ended: what it cost, and a failed visit for the target at which it broke off."""
        fault = outcome.fault or ("garbage" if self._garbage else "")
        if not fault and (self._superfluous or len(self._surveyed) < len(self._tasks)):
            fault = "too_many_results" if self._superfluous else "no_result"
        alone = len(self._tasks) == 1
        if alone and fault:
            self._surveyed = []
        if len(self._surveyed) < len(self._tasks):
            detail = _said_last(outcome.complaint) or self._garbage
            duration_s = outcome.duration_s - sum(each.visit.duration_s for each in self._surveyed)
            self._add(self._failed(fault, detail, max(0.0, duration_s)))
        for surveyed in self._surveyed:
            surveyed.cpu_s = outcome.cpu_s / len(self._surveyed)
        if alone:
            (lone,) = self._surveyed
            lone.visit = msgspec.structs.replace(lone.visit, duration_s=outcome.duration_s)
            if self._on_surveyed is not None:
                self._on_surveyed(lone)
        return self._surveyed


def command(tasks: Sequence[Task]) -> list[str | Path]:
    """The command line that measures: the kernels' executable, or an interpreter with a workload file."""
    spec, identity = tasks[0].spec, tasks[0].identity
    if spec.program is Program.KERNEL:
        return [runner.kernels_path(), spec.name, *arguments(tasks), f"parent_pid={os.getpid()}"]
    workload = resources.files("toposcope_probes.runtime") / f"{spec.name}.py"
    return [identity.target.interpreter or sys.executable, str(workload), *arguments(tasks)]


def _said_last(complaint: str) -> str:
    """The last line that is no part of a stack, whose frames name paths of this host and little else."""
    stack = (" ", "\t", 'File "', "Thread 0x", "Current thread 0x", "Traceback (")
    lines = (line for line in reversed(complaint.splitlines()) if line.strip())
    return next((line for line in lines if not line.startswith(stack)), "")


def _judge(task: Task, line: wire.Line, surroundings: validity.Surroundings, heard: _Heard) -> Visit:
    measures = estimates(task.spec, line.samples) if line.status == "ok" else {}
    verdict: Verdict = line.status
    reason = line.reason
    if line.status == "ok":
        verdict, reason = validity.judge_visit(
            measures,
            task.spec.measures[0].name,
            batches_kept=line.batches_kept,
            batches_dropped=line.batches_dropped,
            checks=line.checks,
            surroundings=surroundings,
            duration_s=heard.duration_s,
            feels_load=task.spec.feels_load,
        )
    return Visit(
        time_s=heard.time_s,
        duration_s=heard.duration_s,
        verdict=verdict,
        reason=reason,
        measures=measures,
        batches_kept=line.batches_kept,
        batches_dropped=dict(line.batches_dropped),
        checks=dict(line.checks) | {"steal_ms": surroundings.steal_ms},
        facts=dict(line.facts),
        busy=surroundings.busy,
    )


def estimates(spec: ProbeSpec, samples: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, Estimate]:
    """The estimate of every measure of a probe for which samples were kept."""
    found = {
        measure.name: estimate_visit(samples[measure.name], measure.estimator)
        for measure in spec.measures
        if measure.name in samples
    }
    return {name: estimate for name, estimate in found.items() if estimate is not None}
