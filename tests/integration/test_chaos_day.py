"""A day of simulated time under hotplug: the whole service, with a machine and a measuring program that are made up.

The daemon's parts are real (topology, plan, schedule, budgets, judging, store, serving); time, the files that describe the
machine and the visits' numbers are ours. TOPOSCOPE_CHAOS_SEED sets the seed (20261122).
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import random
import resource
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import toposcope_probes
from machines import generate
from simulated_time import InlineExecutor, SimulatedLoop
from toposcope import config, judge, service
from toposcope.clock import ManualClock
from toposcope.matrix import Matrix
from toposcope.measure import loop as measuring
from toposcope.measure.plan import Task
from toposcope.measure.visit import Surveyed
from toposcope.results import Estimate, Visit
from toposcope.topology.discover import discover
from toposcope.topology.infer import Inference, infer
from toposcope.topology.sysfs import Root

_SEED = int(os.environ.get("TOPOSCOPE_CHAOS_SEED", "20261122"))
_DAY_S = float(os.environ.get("TOPOSCOPE_CHAOS_DAY_S", "86400"))
_BUDGET = 0.01
_NOTICE_S = 3.5  # the daemon looks every 3 s
_LAYOUT = generate.Layout(packages=2, cores=2, threads=2, has_caches=True, possible=8)
_ALWAYS_ON = (0, 2)  # one CPU of each package


class _Machine:
    """Two sockets with SMT whose CPUs come and go; `root` is the tree that describes it now."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self._folder = folder
        self._clock = clock
        self.changes = 0
        self.switch(frozenset(range(8)))

    def switch(self, online: frozenset[int]) -> None:
        """These CPUs are online from now on."""
        self.root = self._folder / f"tree-{self.changes}"
        every = _LAYOUT.cpus()
        generate.write_machine(self.root, _LAYOUT, [cpu for cpu in every if cpu.id in online])
        for name in ("present", "possible"):
            generate.put(self.root, f"{generate.CPU_DIR}/{name}", "0-7")
        for cpu in sorted(frozenset(range(8)) - online):
            generate.put(self.root, f"{generate.CPU_DIR}/cpu{cpu}/online", "0")
        generate.put(self.root, "proc/self/status", "Cpus_allowed_list:\t0-7")
        if self.changes:
            shutil.rmtree(self._folder / f"tree-{self.changes - 1}")
        self.online, self.changed_s = online, self._clock.monotonic_s()
        self.changes += 1

    def read(self, _: Any = None) -> Any:
        """As discovery sees it."""
        return dataclasses.replace(discover(Root(self.root)), is_this_system=True)


class _Visitor:
    """In place of measuring: takes the time that the probe says, and answers as a kernel would."""

    machine: _Machine
    clock: ManualClock
    chance = random.Random(_SEED)
    visits: ClassVar[Counter[str]] = Counter()
    late = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    async def visit(self, task: Task, *, busy: bool) -> Surveyed:
        duration_s = task.spec.visit_ms / 1000
        await asyncio.sleep(duration_s)
        now_s, identity = self.clock.wall_s(), task.identity
        type(self).visits[identity.id] += 1
        if set(identity.target.cpus) - self.machine.online:
            assert self.clock.monotonic_s() - self.machine.changed_s < _NOTICE_S + duration_s, identity.id
            type(self).late += 1
            return Surveyed(
                Visit(now_s, duration_s, "failed", "exit_1: a CPU is offline", {}), duration_s, "exit_1"
            )
        value = 25 * self.chance.uniform(0.98, 1.02)
        estimate = Estimate(value, value - 1, value, value + 1, value - 0.3, value + 0.3, 1.0)
        measures = {measure.name: estimate for measure in task.spec.measures}
        return Surveyed(Visit(now_s, duration_s, "ok", "", measures, 256), duration_s)


class _IdleMeter:
    """A machine on which nothing else runs."""

    pressure_ratio = None

    def __init__(self, *_: Any) -> None:
        pass

    def set_cpus(self, cpus: Any) -> None:
        pass

    def is_busy(self, cpus: Any) -> bool:
        return False

    def busy_ratio(self, cpu: int) -> float:
        return 0.0

    def steal_ms(self, cpus: Any) -> float:
        return 0.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: a hundred thousand commits to a disk would take their time."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="toposcope-day.", dir=shm if shm.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, folder: Path) -> ManualClock:
    """With everything that the service would ask of this host made up."""
    clock = ManualClock()
    machine = _Machine(folder, clock)
    _Visitor.machine, _Visitor.clock, _Visitor.late = machine, clock, 0
    _Visitor.visits.clear()

    async def nothing(*_: Any) -> tuple[str, ...]:
        return ()

    async def infer_here(matrix: Matrix, _: Any) -> Inference:
        return infer(matrix)

    monkeypatch.setattr(measuring, "Visitor", _Visitor)
    monkeypatch.setattr(measuring, "LoadMeter", _IdleMeter)
    monkeypatch.setattr(service, "discover", machine.read)
    monkeypatch.setattr(service, "find_interpreters", nothing)
    monkeypatch.setattr(service, "ThreadPoolExecutor", InlineExecutor)
    monkeypatch.setattr(judge, "infer_in_child", infer_here)
    # These start programs of their own, on this host.
    monkeypatch.setattr(service.Service, "_ask_peers", nothing)
    monkeypatch.setattr(service.Service, "_test_advice", nothing)
    monkeypatch.setattr(service.Reporter, "run", nothing)
    monkeypatch.setattr(service.Service, "_glance", lambda self: machine.online)
    return clock


async def _hotplug(daemon: service.Service, clock: ManualClock) -> None:
    """CPUs come and go, at times in bursts faster than the daemon looks; all are back at the end."""
    machine, chance = _Visitor.machine, random.Random(_SEED)
    begin_s = clock.monotonic_s()
    while clock.monotonic_s() - begin_s < _DAY_S - 3600:
        await asyncio.sleep(chance.choice((0.2, 2.0, 30.0, 600.0, 600.0, 900.0)))
        others = [cpu for cpu in range(8) if cpu not in _ALWAYS_ON]
        machine.switch(frozenset((*_ALWAYS_ON, *chance.sample(others, chance.randrange(len(others) + 1)))))
    machine.switch(frozenset(range(8)))
    await asyncio.sleep(begin_s + _DAY_S - clock.monotonic_s())
    assert set(daemon._view.machine.online_cpus) == set(range(8))
    daemon._stop.set()


async def _live(daemon: service.Service, clock: ManualClock) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run())
        group.create_task(_hotplug(daemon, clock))


def _visits_due(probe: str) -> int:
    """Two in the time, or as many as the probe's interval has room for; some are visited once a day or a week."""
    spec = toposcope_probes.find(probe)
    assert spec is not None
    return max(1, min(2, int(_DAY_S / (1.1 * spec.interval_s))))


@pytest.mark.slow
@pytest.mark.flaky(reruns=0)
@pytest.mark.timeout(7200)
def test_a_day_under_hotplug(folder: Path, clock: ManualClock) -> None:
    settings = config.parse(
        f"web: {{listen_address: '127.0.0.1:0'}}\nstore: {{directory: {folder / 'store'}}}\n"
        f"probes: {{budget_ratio: {_BUDGET}, saturation_ratio: 0.001}}\n".encode(), "day")  # fmt: skip
    daemon = service.Service(None, settings, clock)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        runner.run(_live(daemon, clock))
    gc.collect()
    machine, visits = _Visitor.machine, _Visitor.visits
    view = daemon._view
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    print(f"{machine.changes} changes, {sum(visits.values())} visits of {len(visits)} results, {_Visitor.late} of them "
          f"on CPUs that had just gone, {grown_mib:.0f} MiB more at the peak")  # fmt: skip
    assert machine.changes > 60 * _DAY_S / 86_400
    # What can always be measured is measured all day, however often the plan is made anew.
    starved = {
        result.identity.id: visits[result.identity.id]
        for result in view.results
        if set(result.identity.target.cpus) <= set(_ALWAYS_ON)
        and visits[result.identity.id] < _visits_due(result.identity.probe)
    }
    assert not starved, starved
    assert all(not view.stale_reason(result) for result in view.results)
    assert set(visits) == {result.identity.id for result in view.results}
    spent_s = sum(budget["spent_s"] for budget in [daemon._loop.status()["budget"]["cpu"]])
    assert spent_s < _BUDGET * _DAY_S * 1.05 + 10, spent_s
    assert grown_mib < 100
