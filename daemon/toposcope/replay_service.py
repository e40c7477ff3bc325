"""`toposcope serve` in replay: another machine's page, API and metrics, with nothing measured or stored."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any, Final

from toposcope import __version__, config, http, report, serving
from toposcope.clock import SystemClock
from toposcope.errors import UsageError
from toposcope.http_requests import Requests
from toposcope.inferring import infer_in_child
from toposcope.judgements import ClaimStanding, Judgements
from toposcope.matrix import Matrix
from toposcope.page.handlers import Page
from toposcope.results import Result, Visit
from toposcope.topology.agreement import compare
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.model import Machine
from toposcope.view import View

_NOTHING_SPENT: Final = {"ratio": 0.0, "spent_s": 0.0, "balance_s": 0.0}
_STATUS: Final = {
    "version": __version__,
    "probes_enabled": False,
    "results": 0,
    "tasks": 0,
    "budget": {"cpu": _NOTHING_SPENT, "saturation": _NOTHING_SPENT},
}


class ReplayService:
    """The replay daemon. `run` returns when SIGTERM or SIGINT came."""

    def __init__(self, settings: config.Config, machine: Machine, matrix: Matrix | None) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self.view = View(machine, fingerprint(machine), mode="replay", matrix=matrix)
        self.view.set_status(_STATUS)

    @property
    def lifecycle_enabled(self) -> bool:
        """Never: a replay has nothing to reload or to measure."""
        return False

    async def run(self) -> None:
        """Serve until stopped. Raises BusyError where the address is taken."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self.view.groups()  # computed once, here, so that the first scrape of a large machine need not wait
        page = Page(self.view, self)
        routes = [*Requests(self.view, self, SystemClock()).routes(), *page.routes()]
        app = http.make_app(self.view, self, serving.allowed_hosts(self._settings.web), routes)
        with contextlib.closing(serving.open_listener(self._settings.web.listen_address)) as listener:
            await serving.serve(
                app, listener, self._settings.web, self._stop, [page.prepare(), self._judge()]
            )

    async def _judge(self) -> None:
        """Say that no claim was tested; infer the topology, once, and hold the declared one against it."""
        claims = tuple(
            ClaimStanding(each.claim, each.verdict) for each in report.judged([], self.view.machine)
        )
        self.view.set_judgements(Judgements(claims=claims))
        matrix = self.view.matrix()
        if len(matrix.cpus) < 2 or not any(cell is not None for row in matrix.cells for cell in row):
            return
        inference = await infer_in_child(matrix, charge=lambda _: None)
        if inference is None:
            return
        found = compare(self.view.machine, matrix, inference)
        agreement = {level.level: level.state for level in found.levels}
        self.view.set_judgements(Judgements(claims, agreement, declared=found, inference=inference))

    def ready(self) -> str:
        """A replay is ready as soon as it answers."""
        return ""

    async def reload(self) -> None:
        """Refused: there is no configuration in force that a running replay could change."""
        raise UsageError("a replay can't be reloaded", "stop it and start it anew")

    async def events(self, limit: int) -> list[dict[str, Any]]:
        """None: nothing changes in a replay."""
        del limit
        return []

    async def history(self, result_id: str) -> list[Visit]:
        """None: a matrix says nothing of times."""
        del result_id
        return []

    async def results_at(self, time_s: float) -> list[Result]:
        """None: a matrix says nothing of times."""
        del time_s
        return []

    async def measure(self, probe: str, cpus: tuple[int, ...] | None, visits: int) -> list[Result]:
        """Refused: another machine can't be measured from here."""
        del probe, cpus, visits
        raise UsageError("a replay measures nothing", "run toposcope on the machine itself")

    def ask_for_report(self) -> dict[str, Any]:
        """Refused, for the same reason."""
        raise UsageError("a replay measures nothing", "run toposcope on the machine itself")
