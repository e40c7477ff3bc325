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

import msgspec

from toposcope.clock import Clock
from toposcope.measure import runner, validity, wire
from toposcope.measure.estimate import estimate_visit
from toposcope.measure.lock import measuring_lock
from toposcope.measure.plan import Task, arguments
from toposcope.results import Estimate, Verdict, Visit
from toposcope_probes.contract import ProbeSpec, Program


@dataclass(slots=True)
class Surveyed:
    """What a visit brought: the visit itself, its cost, and why its program failed (short, countable)."""

    visit: Visit
    cpu_s: float
    fault: str = ""


class Visitor:
    """Carries visits out. `steal_ms` reads the steal counter of some CPUs, before and after a visit."""

    def __init__(
        self,
        clock: Clock,
        *,
        steal_ms: Callable[[Sequence[int]], float],
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._steal_ms = steal_ms
        self._on_wait = on_wait

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

        Saves a process start a target (1 ms). `on_surveyed` hears of each one as it is done, so that an
        interrupted matrix keeps what it has. The surroundings are those of the whole process.
        """
        assert tasks, "nothing to visit"
        cpus = sorted({cpu for task in tasks for cpu in task.identity.target.cpus})
        hearing = _Hearing(tasks, self._clock, busy, on_surveyed)
        async with measuring_lock(self._on_wait):
            before_ms = self._steal_ms(cpus)
            hearing.listen(lambda: self._steal_ms(cpus) - before_ms)
            outcome = await runner.run(
                command(tasks),
                deadline_s=sum(task.spec.deadline_ms for task in tasks) / 1000,
                on_line=hearing.take,
                environment={"PYTHONDONTWRITEBYTECODE": "1"},
                clock=self._clock,
            )
        return hearing.close(outcome)


class _Hearing:
    """Takes the program's lines as they come, one a task, and judges each."""

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
        self._garbage = ""
        self._superfluous = False
        self._steal_ms: Callable[[], float] = lambda: 0.0
        self._since_s = 0.0

    def listen(self, steal_ms: Callable[[], float]) -> None:
        """The program starts now; `steal_ms` tells what the hypervisor took since."""
        self._steal_ms = steal_ms
        self._since_s = self._clock.monotonic_s()

    def take(self, text: bytes) -> None:
        """One line of the program's output."""
        try:
            line = wire.decode(text)
        except wire.GarbageError as error:
            self._garbage = self._garbage or str(error)
            return
        if len(self._surveyed) == len(self._tasks):
            self._superfluous = True
            return
        task = self._tasks[len(self._surveyed)]
        if line.cpus != task.identity.target.cpus:
            self._garbage = self._garbage or f"a line about CPUs {list(line.cpus)} that were not asked for"
            return
        now_s = self._clock.monotonic_s()
        surroundings = validity.Surroundings(steal_ms=self._steal_ms(), busy=self._busy)
        visit = _judge(task, line, surroundings, now_s - self._since_s, self._clock.wall_s())
        self._since_s = now_s
        self._add(Surveyed(visit, 0.0, "program_failed" if line.status == "failed" else ""))

    def _add(self, surveyed: Surveyed) -> None:
        self._surveyed.append(surveyed)
        # A lone target's duration is known only after the reap; `close` tells of it.
        if self._on_surveyed is not None and len(self._tasks) > 1:
            self._on_surveyed(surveyed)

    def close(self, outcome: runner.Outcome) -> list[Surveyed]:
        """The program has ended: what it cost, and a failed visit for each target that it left out."""
        fault = outcome.fault or ("garbage" if self._garbage else "")
        if not fault and (self._superfluous or len(self._surveyed) < len(self._tasks)):
            fault = "too_many_results" if self._superfluous else "no_result"
        spoilt = bool(fault) and len(self._tasks) == 1
        kept = [] if spoilt else self._surveyed
        detail = next(iter(outcome.complaint.splitlines()[-1:]), self._garbage)
        for _ in self._tasks[len(kept) :]:
            reason = f"{fault}: {detail[:300]}" if detail else fault
            duration_s = outcome.duration_s / len(self._tasks)
            failed = Surveyed(Visit(self._clock.wall_s(), duration_s, "failed", reason, {}), 0.0, fault)
            kept = [*kept, failed]
        for surveyed in kept:
            surveyed.cpu_s = outcome.cpu_s / len(kept)
        if len(kept) == 1:
            kept[0].visit = msgspec.structs.replace(kept[0].visit, duration_s=outcome.duration_s)
            if self._on_surveyed is not None:
                self._on_surveyed(kept[0])
        return kept


def command(tasks: Sequence[Task]) -> list[str | Path]:
    """The command line that measures: the kernels' executable, or an interpreter with a workload file."""
    spec, identity = tasks[0].spec, tasks[0].identity
    if spec.program is Program.KERNEL:
        return [runner.kernels_path(), spec.name, *arguments(tasks), f"parent_pid={os.getpid()}"]
    workload = resources.files("toposcope_probes.runtime") / f"{spec.name}.py"
    return [identity.target.interpreter or sys.executable, str(workload), *arguments(tasks)]


def _judge(
    task: Task, line: wire.Line, surroundings: validity.Surroundings, duration_s: float, time_s: float
) -> Visit:
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
        )
    return Visit(
        time_s=time_s,
        duration_s=duration_s,
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
