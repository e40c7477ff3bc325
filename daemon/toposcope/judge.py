"""What is concluded while the daemon runs: drift, the claims' standing, declared against measured.

Drift is judged visit by visit; the rest every few minutes. The inference from a large matrix takes seconds,
so it runs in a child, never on the loop, and no more often than its cost allows.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from toposcope import report
from toposcope.clock import Clock
from toposcope.inferring import infer_in_child
from toposcope.judgements import ClaimStanding
from toposcope.matrix import Matrix
from toposcope.measure.watch import Watch, WatchMemory
from toposcope.results import Identity, Visit
from toposcope.topology.agreement import Agreement, compare
from toposcope.topology.agreement_sample import compare_sample
from toposcope.topology.infer import Inference
from toposcope.view import View

_log = logging.getLogger(__name__)

OnEvent = Callable[[str, dict[str, Any]], Awaitable[None]]

# An inference may take this share of one CPU: estimates change with every visit, the machine hardly ever.
_INFER_CPU_RATIO: Final = 0.0005
# With fewer CPUs no level can be told from another by latencies.
_INFER_CPUS_MIN: Final = 3
# Share of the pairs that has to be known before the machine is inferred from them.
_INFER_KNOWN_MIN: Final = 0.5


class Judge:
    """Keeps the view's judgements. `on_event` is told of drift and of contradictions as they appear."""

    def __init__(self, view: View, clock: Clock, on_event: OnEvent, charge: Callable[[float], None]) -> None:
        self._view = view
        self._clock = clock
        self._on_event = on_event
        self._charge = charge
        self._watch = Watch()
        self._agreement: Agreement | None = None
        self._inference: Inference | None = None
        self._inferred_from: Matrix | None = None
        self._infer_again_s = 0.0

    def restart(self, memory: WatchMemory | None, history: Iterable[tuple[Identity, str, Visit]]) -> None:
        """Begin from what was kept and the visits since, in order of time: a start, or another machine."""
        watch = Watch(memory)
        for identity, measure, visit in history:
            watch.observe(identity, measure, visit)
        self._watch = watch
        self._agreement = self._inference = self._inferred_from = None
        self._infer_again_s = 0.0

    def watched(self) -> WatchMemory:
        """What `restart` needs to go on from here."""
        return self._watch.memory()

    async def observe(self, identity: Identity, measure: str, visit: Visit) -> None:
        """Take a new visit."""
        event = self._watch.observe(identity, measure, visit)
        if event is not None:
            _log.warning("%s changed from %.4g to %.4g", identity.id, event["before"], event["after"])
            await self._on_event("drift", event)

    async def conclude(self) -> None:
        """Judge claims and agreement anew, and show them."""
        await self._compare_with_declared()
        visited = [(result.identity, self._view.visits(result.identity.id)) for result in self._view.results]
        standing = tuple(
            ClaimStanding(each.claim, each.verdict, each.ratio, each.interval)
            for each in report.judged(visited, self._view.machine)
        )
        levels = self._agreement.levels if self._agreement else ()
        self._view.set_judgements(
            replace(
                self._view.judgements,
                claims=standing,
                agreement={level.level: level.state for level in levels},
                declared=self._agreement,
                inference=self._inference,
                drifted=self._watch.drifted(self._clock.wall_s()),
                drift_groups=self._watch.standings(),
            )
        )

    async def _compare_with_declared(self) -> None:
        matrix = self._view.matrix()
        now_s = self._clock.monotonic_s()
        if len(matrix.cpus) < _INFER_CPUS_MIN or matrix == self._inferred_from or now_s < self._infer_again_s:
            return
        self._inferred_from = matrix
        found = await self._agreement_of(matrix)
        if found is None:
            return
        before = {level.level: level.state for level in self._agreement.levels} if self._agreement else {}
        self._agreement = found
        for level in found.levels:
            if level.state == "contradicted" and before.get(level.level) != "contradicted":
                await self._on_event("declared_contradicted", {"relation": level.level, "cause": level.cause})

    async def _agreement_of(self, matrix: Matrix) -> Agreement | None:
        """By what the whole matrix shows, or by a sample of pairs where the machine is too large for it."""
        cells = [cell for row in matrix.cells for cell in row]
        known = sum(cell is not None for cell in cells)
        if known < _INFER_KNOWN_MIN * (len(cells) - len(matrix.cpus)):
            self._inference = None
            return compare_sample(self._view.machine, matrix) if known else None
        self._inference = await infer_in_child(matrix, self._charge_inference)
        return None if self._inference is None else compare(self._view.machine, matrix, self._inference)

    def _charge_inference(self, cpu_s: float) -> None:
        self._charge(cpu_s)
        self._infer_again_s = self._clock.monotonic_s() + cpu_s / _INFER_CPU_RATIO
