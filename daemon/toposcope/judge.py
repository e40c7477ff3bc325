"""What is concluded while the daemon runs: drift, the claims' standing, declared against measured.

Drift is judged visit by visit; the rest every few minutes. The inference from a large matrix takes seconds,
so it runs in a child (`toposcope infer`), never on the loop.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from toposcope import report
from toposcope.clock import Clock
from toposcope.errors import ToposcopeError
from toposcope.judgements import AgreementState, ClaimStanding, Judgements
from toposcope.matrix import Matrix, format_csv
from toposcope.measure import runner
from toposcope.measure.watch import Watch
from toposcope.results import Identity, Visit
from toposcope.topology.agreement import compare
from toposcope.topology.infer import Inference
from toposcope.view import View

_log = logging.getLogger(__name__)

OnEvent = Callable[[str, dict[str, Any]], Awaitable[None]]

_INFER_DEADLINE_S: Final = 30.0
# With fewer CPUs no level can be told from another by latencies.
_INFER_CPUS_MIN: Final = 4
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
        self._agreement: dict[str, AgreementState] = {}
        self._inferred_from: Matrix | None = None

    def restart(self, history: Iterable[tuple[Identity, str, Visit]]) -> None:
        """Begin anew from stored visits in order of time: a start, or another machine."""
        self._watch = Watch()
        for identity, measure, visit in history:
            self._watch.observe(identity, measure, visit)

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
        self._view.set_judgements(
            Judgements(
                claims=standing,
                agreement=dict(self._agreement),
                drifted=self._watch.drifted(self._clock.wall_s()),
                audit_findings=self._view.judgements.audit_findings,
            )
        )

    async def _compare_with_declared(self) -> None:
        matrix = self._view.matrix()
        if len(matrix.cpus) < _INFER_CPUS_MIN or matrix == self._inferred_from:
            return
        cells = [cell for row in matrix.cells for cell in row]
        known = sum(cell is not None for cell in cells)
        if known < _INFER_KNOWN_MIN * (len(cells) - len(matrix.cpus)):
            return
        self._inferred_from = matrix
        inference = await self._infer(matrix)
        if inference is None:
            return
        found = compare(self._view.machine, matrix, inference)
        before, self._agreement = self._agreement, {level.level: level.state for level in found.levels}
        for level in found.levels:
            if level.state == "contradicted" and before.get(level.level) != "contradicted":
                await self._on_event("declared_contradicted", {"relation": level.level, "cause": level.cause})

    async def _infer(self, matrix: Matrix) -> Inference | None:
        lines: list[bytes] = []
        with tempfile.TemporaryDirectory(prefix="toposcope-") as folder:
            file = Path(folder) / "matrix.csv"
            file.write_text(format_csv(matrix))
            argv = [sys.executable, "-m", "toposcope", "infer", str(file), "--format", "json"]
            with contextlib.suppress(ToposcopeError):
                outcome = await runner.run(argv, deadline_s=_INFER_DEADLINE_S, on_line=lines.append)
                self._charge(outcome.cpu_s)
        try:
            return msgspec.json.decode(b"\n".join(lines), type=Inference)
        except msgspec.DecodeError:
            _log.warning("the topology could not be inferred from %d CPUs", len(matrix.cpus))
            return None
