"""The composition root: builds every part from the configuration, and runs them until told to stop.

One asyncio process. What may block (discovery, the store) runs in one worker thread; what measures runs in
processes of its own. Stopping is structured: the loops are cancelled, a visit under way is killed and
reaped, and the store is closed last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

import toposcope_probes
from toposcope import __version__, config, http, logs, nfd, serving, systemd
from toposcope.auditing import Auditor
from toposcope.baselines import Baselines
from toposcope.choices import find_interpreters, measurable_cpus, probe_choices
from toposcope.clock import Clock, SystemClock
from toposcope.errors import ToposcopeError, UsageError
from toposcope.http_requests import Requests
from toposcope.judge import Judge
from toposcope.measure import runner
from toposcope.measure.loop import MeasuringLoop
from toposcope.measure.plan import ProbeChoice, more_often, plan
from toposcope.measure.validity import WINDOW_VISITS_MAX, judge_result
from toposcope.page.handlers import Page
from toposcope.reporting import Reporter
from toposcope.results import Identity, Result, Visit
from toposcope.selftest import LOOK_INTERVAL_S, SelfTest
from toposcope.store import Store
from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.cross_check import cross_check
from toposcope.topology.discover import discover
from toposcope.topology.fingerprint import fingerprint, same_machine
from toposcope.topology.sysfs import Root
from toposcope.view import View

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_TOPOLOGY_INTERVAL_S: Final = 3.0
_STATUS_INTERVAL_S: Final = 10.0
_PRUNE_INTERVAL_S: Final = 3600.0
_CONCLUDE_INTERVAL_S: Final = 120.0
_SETTINGS_INTERVAL_S: Final = 300.0
# The measuring loop comes round at least this often: all its waits and visits have deadlines.
_STALL_S: Final = 1200.0
_TASKS_ON_REQUEST_MAX: Final = 64
# Asking the peers costs half a second of CPU time: not while the first results are being measured.
_PEERS_DELAY_S: Final = 60.0
_PEERS_DEADLINE_S: Final = 60.0


class Service:
    """The daemon. `run` returns when SIGTERM or SIGINT came."""

    def __init__(
        self,
        config_file: Path | None,
        settings: config.Config,
        clock: Clock | None = None,
        nfd_directory: Path | None = None,
    ) -> None:
        self._config_file = config_file
        self._settings = settings
        self._clock = clock or SystemClock()
        self._nfd_directory = nfd_directory
        self._started_s = self._clock.monotonic_s()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="toposcope-store")
        self._root = Root("/")
        self._auditor = Auditor(Root("/"), self._clock, settings.audit.processes_max)
        self._stop = asyncio.Event()
        self._store: Store
        self._view: View
        self._loop: MeasuringLoop
        self._judge: Judge
        self._baselines: Baselines
        self._reporter: Reporter
        self._interpreters: tuple[str, ...] = ()

    @property
    def lifecycle_enabled(self) -> bool:
        """Whether clients may reload and measure."""
        return self._settings.web.enable_lifecycle

    async def run(self) -> None:
        """Open everything (raises ToposcopeError), serve and measure until stopped, close everything."""
        listener = serving.open_listener(self._settings.web.listen_address)
        with contextlib.closing(listener):
            self._store = await self._in_worker(lambda: Store(config.store_directory(self._settings)))
            try:
                await self._load()
                await self._serve(listener)
                await self._baselines.keep()
            finally:
                await self._in_worker(self._store.close)
                self._worker.shutdown()

    async def _in_worker(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def _load(self) -> None:
        machine = await self._in_worker(lambda: discover(Root("/")))
        self._view = View(machine, fingerprint(machine))
        await self._load_results()
        limits = self._settings.probes
        self._loop = MeasuringLoop(
            self._view,
            self._record,
            self._clock,
            budget_ratio=limits.budget_ratio,
            saturation_ratio=limits.saturation_ratio,
        )
        self._judge = Judge(self._view, self._clock, self._event, self._loop.charge)
        self._baselines = Baselines(
            self._store, self._view, self._judge, self._clock, self._in_worker, self._event
        )
        await self._baselines.restart()
        self._interpreters = await find_interpreters(self._settings)
        interval_s = self._settings.report.interval_s
        self._reporter = Reporter(
            self._view, self._record, self._event, self._measurable, self._clock, interval_s
        )
        self._replan()
        if self._store.set_aside is not None:
            _log.warning("the store was damaged; it is kept as %s", self._store.set_aside)
            await self._event("store_damaged", {"kept_as": self._store.set_aside.name})
        if unreadable := self._store.unreadable:
            _log.warning("%d entries of the store can't be read and were left out", unreadable)
            await self._event("store_damaged", {"unreadable_entries": unreadable})

    async def _load_results(self) -> None:
        stored = await self._in_worker(
            lambda: list(self._store.results(self._view.fingerprint, WINDOW_VISITS_MAX))
        )
        for identity, measure, visits in stored:
            self._view.load(identity, measure, visits)
        self._view.pool()

    def _measurable(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        return measurable_cpus(self._view.machine, self._settings.probes), self._interpreters

    def _replan(self) -> None:
        tasks = plan(
            self._view.machine,
            probe_choices(self._settings),
            cpus=measurable_cpus(self._view.machine, self._settings.probes),
            interpreters=self._interpreters,
            seed=int(self._view.fingerprint, 16),
            is_lasting=True,
        )
        self._loop.set_tasks(more_often(tasks, self._settings.probes.budget_ratio))

    async def _record(self, identity: Identity, measure: str, visit: Visit) -> None:
        await self._in_worker(lambda: self._store.record(self._view.fingerprint, identity, measure, visit))
        await self._judge.observe(identity, measure, visit)

    async def _event(self, kind: str, event: dict[str, Any]) -> None:
        """Keep an event; a store that can't take it costs the event, not the daemon."""
        time_s = self._clock.wall_s()
        self._view.count_event(kind)
        try:
            await self._in_worker(lambda: self._store.add_event(time_s, kind, event))
        except ToposcopeError as error:
            _log.error("%s", error.message)

    async def _serve(self, listener: socket.socket) -> None:
        routes = [
            *Requests(self._view, self, self._clock).routes(),
            *Page(self._view, self, wall_s=self._clock.wall_s).routes(),
        ]
        app = http.make_app(self._view, self, serving.allowed_hosts(self._settings.web), routes)
        self._handle_signals()
        await serving.serve(app, listener, self._settings.web, self._stop, self._loops())
        _log.info("toposcope stopped")

    def _loops(self) -> list[Any]:
        watchdog_s = systemd.watchdog_interval_s()
        return [
            self._loop.run(),
            _every(_TOPOLOGY_INTERVAL_S, self._watch_topology),
            _every(_STATUS_INTERVAL_S, self._refresh_status),
            self._reporter.run(),
            self._ask_peers(),
            _every(_CONCLUDE_INTERVAL_S, self._judge.conclude),
            _every(_SETTINGS_INTERVAL_S, self._watch_settings),
            _every(_PRUNE_INTERVAL_S, self._prune),
            _every(LOOK_INTERVAL_S, self._test_advice),
            *([_every(watchdog_s, self._feed_watchdog)] if watchdog_s else []),
            *([_every(self._settings.audit.interval_s, self._audit)] if self._settings.audit.enabled else []),
            *([_every(nfd.RENEWAL_INTERVAL_S, self._write_features)] if self._nfd_directory else []),
        ]

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload_quietly()))

    async def _reload_quietly(self) -> None:
        with contextlib.suppress(ToposcopeError):
            await self.reload()

    async def reload(self) -> None:
        """Read the configuration file again. A bad one changes nothing: it is logged, and raised."""
        if self._config_file is None:
            raise UsageError("there is no configuration file to reload", "start with --config FILE")
        path = self._config_file
        try:
            settings = await self._in_worker(lambda: config.load(path))
            self._require_same_start(settings)
            measurable_cpus(self._view.machine, settings.probes)
        except ToposcopeError as error:
            _log.error("the old configuration stays in force: %s", error.message)
            await self._event("config_refused", {"reason": error.message})
            raise
        self._settings = settings
        self._interpreters = await find_interpreters(settings)
        logs.set_up(settings.log)
        self._reporter.interval_s = settings.report.interval_s
        self._loop.set_ratios(settings.probes.budget_ratio, settings.probes.saturation_ratio)
        self._replan()
        _log.info("configuration reloaded from %s", path)
        await self._event("config_reloaded", {})

    def _require_same_start(self, settings: config.Config) -> None:
        """Some keys only count at the start; changing them needs a restart, which is said."""
        for key in ("listen_address", "max_connections", "allowed_hosts", "config_file"):
            if getattr(settings.web, key) != getattr(self._settings.web, key):
                raise UsageError(f"web.{key} can't change while the daemon runs", "restart it")
        if settings.audit != self._settings.audit:
            raise UsageError("audit can't change while the daemon runs", "restart it")
        if settings.store.directory != self._settings.store.directory:
            raise UsageError("store.directory can't change while the daemon runs", "restart it")

    def ready(self) -> str:
        """Why the daemon is not ready yet, or ""; ready means that there is a result to read."""
        if not self._settings.probes.enabled or self._view.results or self._loop.task_count == 0:
            return ""
        return "no result yet"

    async def events(self, limit: int) -> list[dict[str, Any]]:
        """The newest events, newest first."""
        return await self._in_worker(lambda: self._store.events(limit))

    async def history(self, result_id: str) -> list[Visit]:
        """Days that are kept as quantiles, each as one visit, then all visits that are kept singly."""
        fingerprint_now, store = self._view.fingerprint, self._store
        return await self._in_worker(
            lambda: [*store.days(fingerprint_now, result_id), *store.history(fingerprint_now, result_id)]
        )

    async def results_at(self, time_s: float) -> list[Result]:
        """Every result as it was known at a time (seconds since the epoch)."""
        return await self._in_worker(
            lambda: [judge_result(*each) for each in self._store.results_at(time_s, WINDOW_VISITS_MAX)]
        )

    async def measure(self, probe: str, cpus: tuple[int, ...] | None, visits: int) -> list[Result]:
        """Visit a probe's targets now. Raises UsageError where there are none, or too many."""
        spec = toposcope_probes.find(probe)
        if spec is None:
            raise UsageError(f"there is no probe {probe[:40]!r}", "see /api/v1/probes")
        usable = measurable_cpus(self._view.machine, self._settings.probes)
        foreign = set(cpus or ()) - set(usable)
        if foreign:
            raise UsageError(f"CPU {min(foreign)} may not be measured", f"allowed: {list(usable)}")
        choice = ProbeChoice(spec, spec.interval_s, spec.max_age_s)
        tasks = plan(self._view.machine, [choice], cpus=cpus or usable, interpreters=self._interpreters)
        if not 1 <= len(tasks) <= _TASKS_ON_REQUEST_MAX:
            raise UsageError(
                f"{probe} has {len(tasks)} targets on these CPUs", f"ask for 1 to {_TASKS_ON_REQUEST_MAX}"
            )
        return await self._loop.visit_now(tasks, visits)

    def ask_for_report(self) -> dict[str, Any]:
        """Measure soon what the report rests on, outside the budget; the reporter's status."""
        return self._reporter.ask()

    async def _watch_topology(self) -> None:
        """Notice hotplug and cpuset changes by two cheap reads; discover anew only then."""
        glance = self._glance()
        if glance == self._last_glance:
            return
        self._last_glance = glance
        machine = await self._in_worker(lambda: discover(Root("/")))
        before = self._view.machine
        if machine == before:
            return
        same = same_machine(before, machine)
        # A CPU that is unplugged makes no other machine: what was measured between the others still counts.
        self._view.set_machine(machine, self._view.fingerprint if same else fingerprint(machine))
        if not same:
            self._view.forget_results()
            await self._load_results()
            await self._baselines.restart()
        change = {
            "online_cpus_before": before.online_cpus,
            "online_cpus_after": machine.online_cpus,
            "allowed_cpus_before": before.allowed_cpus,
            "allowed_cpus_after": machine.allowed_cpus,
            "same_machine": same,
            "fingerprint": self._view.fingerprint,
        }
        _log.warning("the topology changed: CPUs %s are online now", format_cpulist(machine.online_cpus))
        self._replan()
        await self._event("topology_changed", change)

    async def _watch_settings(self) -> None:
        """Notice a setting that was changed while the daemon runs, such as the frequency governor."""
        machine = await self._in_worker(lambda: discover(Root("/")))
        if same_machine(self._view.machine, machine) and machine.settings != self._view.machine.settings:
            self._view.set_machine(
                replace(self._view.machine, settings=machine.settings), self._view.fingerprint
            )
            await self._baselines.check()

    _last_glance: tuple[Any, ...] | None = None

    def _glance(self) -> tuple[Any, ...]:
        """Two reads of some 20 µs, so on the loop itself; sysfs and affinity never wait for a disk."""
        self._root.begin()
        return self._root.octets("sys/devices/system/cpu/online"), frozenset(os.sched_getaffinity(0))

    async def _ask_peers(self) -> None:
        """Hold our discovery against psutil's and py-cpuinfo's, once; what differs is an event."""
        await asyncio.sleep(_PEERS_DELAY_S)
        lines: list[bytes] = []
        argv = [sys.executable, "-m", "toposcope.peer_facts"]
        try:
            outcome = await runner.run(argv, deadline_s=_PEERS_DEADLINE_S, on_line=lines.append)
            facts = msgspec.json.decode(lines[0] if lines else b"", type=dict[str, dict[str, Any]])
        except (ToposcopeError, msgspec.DecodeError) as error:
            _log.info("psutil and py-cpuinfo could not be asked: %s", error)
            return
        self._loop.charge(outcome.cpu_s)
        for sentence in cross_check(self._view.machine, facts["psutil"], facts["cpuinfo"]):
            _log.warning("discovery disagrees with a peer: %s", sentence)
            await self._event("peers_disagree", {"what": sentence})

    async def _refresh_status(self) -> None:
        self._view.set_status(
            {
                "version": __version__,
                "pid": os.getpid(),
                "uptime_s": self._clock.monotonic_s() - self._started_s,
                "probes_enabled": self._settings.probes.enabled,
                "results": len(self._view.results),
                "report": self._reporter.status(),
                **self._loop.status(),
            }
        )

    async def _audit(self) -> None:
        """Look at the busiest processes, and show what was found."""
        self._view.set_audit(await self._auditor.look(self._view.machine, self._in_worker))

    async def _test_advice(self) -> None:
        """Try the daemon's own advice; where that fails, the next look tries again."""
        try:
            await SelfTest(self._view, self._loop, self._clock).run_if_due(probe_choices(self._settings))
        except ToposcopeError as error:
            _log.error("the advice could not be tested: %s", error.message)

    async def _feed_watchdog(self) -> None:
        """Tell systemd that there is progress: this loop turns, and so does the one that measures."""
        if self._clock.monotonic_s() - self._loop.turned_s < _STALL_S:
            systemd.notify("WATCHDOG=1")
        else:
            _log.error("the measuring loop has not come round for %.0f s", _STALL_S)

    async def _write_features(self) -> None:
        """Renew the labels' file; where it can't be written, its expiry takes the labels away."""
        assert self._nfd_directory is not None
        directory, text = self._nfd_directory, nfd.feature_text(self._view, self._clock.wall_s())
        try:
            await self._in_worker(lambda: nfd.write_features(directory, text))
        except ToposcopeError as error:
            _log.error("%s", error.message)

    async def _prune(self) -> None:
        await self._baselines.keep()
        limits = self._settings.store
        now_s = self._clock.wall_s()
        try:
            removed = await self._in_worker(
                lambda: self._store.prune(
                    now_s, raw_days=limits.raw_days, daily_days=limits.daily_days, max_bytes=limits.max_bytes
                )
            )
        except ToposcopeError as error:
            _log.error("%s", error.message)
            return
        if removed:
            _log.info("%d old visits were folded into daily rows or dropped", removed)


async def _every(interval_s: float, work: Callable[[], Any]) -> None:
    """Run `work` at once and then at absolute times, so that slow work makes no drift."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        await work()
        due_s = max(due_s + interval_s, loop.time())
        await asyncio.sleep(due_s - loop.time())
