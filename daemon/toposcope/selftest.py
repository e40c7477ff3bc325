"""The daemon's advice put to the test: a small search by workers that share, placed as advised and otherwise.

Advice for sharing work follows from latencies between CPUs; whether a program gains is another matter. So,
once a day and where there is advice, our own parallel search (`workload_bfs`, threads) runs on the advised
CPUs and on as many others, near and apart, in turns. The regret is how much faster the best of them was.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.clock import Clock
from toposcope.evidence import evidence_of
from toposcope.measure.core_sets import core_sets
from toposcope.measure.loop import MeasuringLoop
from toposcope.measure.plan import ProbeChoice, Task, identify
from toposcope.results import Target, Visit
from toposcope.view import View

PROBE: Final = "workload_bfs"
INTERVAL_S: Final = 86_400.0
# How often to see whether there is advice by now that could be tested.
LOOK_INTERVAL_S: Final = 3600.0
_VARIANT: Final = {"model": "thread"}
_WORKERS_MAX: Final = 8
_VISITS: Final = 5
_SOUND_VISITS_MIN: Final = 3


class SelfTest:
    """Tests the advice on one view's machine, and shows what came of it in the view's judgements."""

    def __init__(self, view: View, loop: MeasuringLoop, clock: Clock) -> None:
        self._view = view
        self._loop = loop
        self._clock = clock

    async def run_if_due(self, choices: Sequence[ProbeChoice]) -> None:
        """Test where the last test is a day old and `choices`, what may be measured, has the probe."""
        now_s = self._clock.wall_s()
        last_s = self._view.judgements.self_test_time_s
        choice = next((each for each in choices if each.spec.name == PROBE), None)
        if choice is None or (last_s is not None and 0 <= now_s - last_s < INTERVAL_S):
            return
        machine = self._view.machine
        tasks = [
            Task(choice, identify(machine, choice.spec, target, _VARIANT), 0)
            for target in rivals(self._view, now_s)
        ]
        if not tasks:
            return
        await self._loop.visit_now(tasks, _VISITS)
        visits = [self._view.visits(task.identity.id)[-_VISITS:] for task in tasks]
        found = regret_ratio([_rates(each, choice) for each in visits])
        if found is not None:
            judgements = self._view.judgements
            self._view.set_judgements(
                replace(judgements, self_test_regret_ratio=found, self_test_time_s=self._clock.wall_s())
            )


def rivals(view: View, now_s: float) -> tuple[Target, ...]:
    """The advised CPUs, then others of the same number; none without advice or a choice."""
    machine = view.machine
    sizes = [size for size in (2, 4, _WORKERS_MAX) if 2 * size <= len(machine.usable_cpus)]
    if not sizes or view.placement != "stable":
        return ()
    workers = sizes[-1]
    answer = recommend(Request(workers, exact=True), evidence_of(view, now_s, "daemon"))
    if answer.advice == "leave":
        return ()
    advised = Target(answer.placements[0].cpus, core_set=f"advised:{workers}")
    others = [
        Target(cpus, core_set=name)
        for name, cpus in core_sets(machine, machine.usable_cpus)
        if len(cpus) == workers and set(cpus) != set(advised.cpus)
    ]
    return (advised, *others) if others else ()


def regret_ratio(rates: Sequence[Sequence[float]]) -> float | None:
    """How much faster the best was than the first, the advised one: 0 where none was.

    None where one of them has too few sound visits to tell.
    """
    if any(len(each) < _SOUND_VISITS_MIN for each in rates):
        return None
    medians = [statistics.median(each) for each in rates]
    return max(medians) / medians[0] - 1


def _rates(visits: Sequence[Visit], choice: ProbeChoice) -> list[float]:
    measure = choice.spec.measures[0].name
    return [visit.measures[measure].estimate for visit in visits
            if visit.verdict == "ok" and measure in visit.measures]  # fmt: skip
