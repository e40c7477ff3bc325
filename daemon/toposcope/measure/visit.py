"""One visit: take the machine-wide lock, run the program, judge what it said.

Shared by the daemon and by `toposcope measure`. What goes wrong in a program (crash, hang, garbage) becomes
a `failed` visit with a reason; only a missing program is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from toposcope.clock import Clock
from toposcope.measure import runner, validity, wire
from toposcope.measure.estimate import estimate_visit
from toposcope.measure.lock import measuring_lock
from toposcope.measure.plan import Task, arguments
from toposcope.results import Estimate, Identity, Verdict, Visit
from toposcope_probes.contract import ProbeSpec, Program

_GARBAGE_LINES_KEPT: Final = 3


@dataclass(slots=True)
class Surveyed:
    """What a visit brought: the visit itself, its cost, and why its program failed (short, countable)."""

    visit: Visit
    cpu_s: float
    fault: str = ""


@dataclass(slots=True)
class _Spoken:
    lines: list[wire.Line] = field(default_factory=list)
    garbage: list[str] = field(default_factory=list)

    def take(self, text: bytes) -> None:
        try:
            self.lines.append(wire.decode(text))
        except wire.GarbageError as error:
            if len(self.garbage) < _GARBAGE_LINES_KEPT:
                self.garbage.append(str(error))


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
        spoken = _Spoken()
        argv = command(task.spec, task.identity, arguments(task))
        cpus = task.identity.target.cpus
        async with measuring_lock(self._on_wait):
            before = self._steal_ms(cpus)
            outcome = await runner.run(
                argv,
                deadline_s=task.spec.deadline_ms / 1000,
                on_line=spoken.take,
                environment={"PYTHONDONTWRITEBYTECODE": "1"},
                clock=self._clock,
            )
            after = self._steal_ms(cpus)
        surroundings = validity.Surroundings(steal_ms=after - before, busy=busy)
        visit, fault = _judge(task, spoken, outcome, surroundings, self._clock.wall_s())
        return Surveyed(visit, outcome.cpu_s, fault)


def command(spec: ProbeSpec, identity: Identity, words: Sequence[str]) -> list[str | Path]:
    """The command line that measures: the kernels' executable, or an interpreter with a workload file."""
    if spec.program is Program.KERNEL:
        return [runner.kernels_path(), spec.name, *words]
    workload = resources.files("toposcope_probes.runtime") / f"{spec.name}.py"
    return [identity.target.interpreter or sys.executable, str(workload), *words]


def _judge(
    task: Task,
    spoken: _Spoken,
    outcome: runner.Outcome,
    surroundings: validity.Surroundings,
    time_s: float,
) -> tuple[Visit, str]:
    fault = outcome.fault or ("garbage" if spoken.garbage else "")
    if not fault and len(spoken.lines) != 1:
        fault = "no_result" if not spoken.lines else "too_many_results"
    if fault:
        detail = outcome.complaint.splitlines()[-1:] or spoken.garbage[:1]
        reason = f"{fault}: {detail[0][:300]}" if detail else fault
        return Visit(time_s, outcome.duration_s, "failed", reason, {}), fault
    line = spoken.lines[0]
    measures = estimates(task.spec, line.samples)
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
    visit = Visit(
        time_s=time_s,
        duration_s=outcome.duration_s,
        verdict=verdict,
        reason=reason,
        measures=measures if line.status == "ok" else {},
        batches_kept=line.batches_kept,
        batches_dropped=dict(line.batches_dropped),
        checks=dict(line.checks) | {"steal_ms": surroundings.steal_ms},
        facts=dict(line.facts),
        busy=surroundings.busy,
    )
    return visit, "program_failed" if line.status == "failed" else ""


def estimates(spec: ProbeSpec, samples: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, Estimate]:
    """The estimate of every measure of a probe for which samples were kept."""
    found = {
        measure.name: estimate_visit(samples[measure.name], measure.estimator)
        for measure in spec.measures
        if measure.name in samples
    }
    return {name: estimate for name, estimate in found.items() if estimate is not None}
