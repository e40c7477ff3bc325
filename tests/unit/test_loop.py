"""The measuring loop with a stand-in for its instrument: politeness, the full look, a new topology."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from toposcope.measure import loop as loop_module
from toposcope.measure.load import PRESSURE_RATIO_MAX
from toposcope.measure.loop import MeasuringLoop
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.measure.schedule import BURST_INTERVAL_S, BURST_VISITS
from toposcope.measure.visit import Surveyed
from toposcope.metrics.rendered import Rendered
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.topology.model import Machine, Node
from toposcope.view import View
from toposcope_probes.contract import Measure, ProbeSpec, TargetKind

_wait_for_real = MeasuringLoop._wait_until_due


class _Clock:
    """Time that passes when the loop waits; nothing sleeps for real."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.ends_s = 0.0
        self.ended: asyncio.Event | None = None

    def monotonic_s(self) -> float:
        if self.ended is not None and self.now_s >= self.ends_s:
            self.ended.set()
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s


class _Load:
    """A stand-in for LoadMeter: tests say which CPUs are busy and how much pressure there is."""

    def __init__(self) -> None:
        self.busy: set[int] = set()
        self.pressure_ratio: float | None = 0.0

    def set_cpus(self, cpus: object) -> None: ...

    def busy_ratio(self, cpu: int) -> float:
        return float(cpu in self.busy)

    def is_busy(self, cpus: tuple[int, ...]) -> bool:
        return (self.pressure_ratio or 0.0) > PRESSURE_RATIO_MAX or bool(self.busy.intersection(cpus))


class _World:
    """A loop, its clock and load, and every visit made: (time, id, busy)."""

    def __init__(self, cpu_count: int = 4, cost_s: float = 0.001) -> None:
        self.clock, self.load, self.cost_s = _Clock(), _Load(), cost_s
        self.visits: list[tuple[float, str, bool]] = []
        self.value: Callable[[Task], float] = lambda _: 26.0
        machine = Machine(
            is_this_system=True,
            online_cpus=tuple(range(cpu_count)),
            packages=(tuple(range(cpu_count)),),
            numa_nodes=(Node(0, tuple(range(cpu_count)), 1 << 30),),
        )
        self.view = View(machine, "f")
        self.loop = MeasuringLoop(
            self.view, self._record, self.clock, budget_ratio=0.01, saturation_ratio=0.001
        )
        self.loop._load = self.load  # type: ignore[assignment]
        self.loop._visitor = self  # type: ignore[assignment]

    async def _record(self, identity: Identity, measure: str, visit: Visit) -> None: ...

    async def visit(self, task: Task, *, busy: bool = False) -> Surveyed:
        """What Visitor.visit does, in no time."""
        self.visits.append((self.clock.now_s, task.identity.id, busy))
        self.clock.now_s += self.cost_s
        value = self.value(task)
        estimate = Estimate(value, value, value, value, value * 0.99, value * 1.01, 1.0)
        done = Visit(self.clock.now_s, self.cost_s, "ok", "", {"latency_ns": estimate}, 100, busy=busy)
        return Surveyed(done, self.cost_s)

    def run(self, duration_s: float) -> None:
        """Run the loop until `duration_s` have passed on its clock."""
        end_s = self.clock.now_s + duration_s

        async def until_then() -> None:
            ended = asyncio.Event()
            self.clock.ends_s, self.clock.ended = end_s, ended
            task = asyncio.ensure_future(self.loop.run())
            await ended.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(until_then())


@pytest.fixture(autouse=True)
def _waiting_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's waits move the test's clock instead of sleeping."""

    async def wait(self: MeasuringLoop) -> None:
        now_s = self._clock.monotonic_s()
        due_s = self._schedule.wait_s(now_s)
        self._clock.now_s += max(due_s or 0.0, self._short.wait_s(now_s), 1e-4)  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    monkeypatch.setattr(loop_module.MeasuringLoop, "_wait_until_due", wait)


def _task(first: int, second: int, tier: int = 0, **spec: Any) -> Task:
    made = ProbeSpec("p", "Help.", "operation", TargetKind.PAIR, (Measure("latency_ns", "help"),), **spec)
    return Task(ProbeChoice(made, 600.0, 86_400.0), Identity("p", Target((first, second)), {}), tier)


def _times(world: _World, task: Task) -> list[float]:
    return [time_s for time_s, task_id, _ in world.visits if task_id == task.identity.id]


def test_busy_cpus_are_left_alone_and_then_visited_once_and_marked() -> None:
    world, free, taken = _World(), _task(0, 1), _task(2, 3)
    world.loop.set_tasks([free, taken])
    world.run(BURST_VISITS * BURST_INTERVAL_S + 60)
    world.load.busy = {3}
    world.visits.clear()
    world.run(86_000.0)
    assert len(_times(world, free)) > 100
    assert not _times(world, taken)
    assert world.loop.status()["postponed"] == 1
    assert world.loop.status()["busy_cpus"] == [3]
    world.run(3_000.0)
    marked = [busy for _, task_id, busy in world.visits if task_id == taken.identity.id]
    assert marked == [True]


def test_under_cpu_pressure_nothing_is_visited_until_it_has_waited_long() -> None:
    world, tasks = _World(), [_task(0, 1), _task(2, 3)]
    world.loop.set_tasks(tasks)
    world.run(BURST_VISITS * BURST_INTERVAL_S + 60)
    world.load.pressure_ratio = PRESSURE_RATIO_MAX + 0.1
    world.visits.clear()
    world.run(80_000.0)
    assert not world.visits
    assert world.loop.status()["cpu_pressure_ratio"] == world.load.pressure_ratio
    assert world.loop.status()["postponed"] == 2
    world.load.pressure_ratio = 0.1
    world.run(700.0)
    assert [busy for _, _, busy in world.visits] == [False] * len(world.visits)
    assert len(world.visits) >= 2


def test_without_pressure_information_visits_go_on() -> None:
    world = _World()
    world.load.pressure_ratio = None
    world.loop.set_tasks([_task(0, 1)])
    world.run(60.0)
    assert len(world.visits) >= BURST_VISITS


def test_one_cpu_bears_half_of_the_budget_at_most() -> None:
    """Every target has CPU 0, as representatives do: the other half of the budget is left unspent."""
    world = _World(cpu_count=8, cost_s=0.5)
    world.loop.set_tasks([_task(0, other, visit_ms=60.0) for other in range(1, 8)])
    begin_s = world.clock.now_s
    world.run(200_000.0)
    spent_s = 0.5 * len(world.visits)
    borne_by_first = spent_s / 2
    passed_s = world.clock.now_s - begin_s
    assert borne_by_first <= 0.005 * passed_s + 1.5
    assert borne_by_first > 0.001 * passed_s, "the limit is a limit, and no stop"


def test_a_representative_that_moved_has_everything_looked_at_again_and_soon() -> None:
    world, representative = _World(), _task(0, 1)
    others = [_task(0, 2, tier=1), _task(2, 3, tier=2), _task(1, 3, tier=1)]
    world.loop.set_tasks([representative, *others])
    world.run(3_000.0)
    moved_s = world.clock.now_s
    world.value = lambda task: 109.0 if task.identity.target.cpus == (0, 1) else 26.0
    world.visits.clear()
    world.run(660.0)
    noticed_s = _times(world, representative)[2]
    assert noticed_s - _times(world, representative)[0] < 3 * BURST_INTERVAL_S
    for other in others:
        assert any(noticed_s <= time_s < noticed_s + 60 for time_s in _times(world, other))
    assert world.loop.status()["full_looks"] == 1
    assert world.clock.now_s - moved_s < 3_600


def test_visits_beside_who_keeps_the_measuring_lock_are_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = _World()
    world.loop.set_tasks([_task(0, 1)])
    world.run(60.0)
    assert _count(world, "lock_ignored") == 0
    patience, keeping_s = world.loop._patience, world.clock.now_s

    def lose_patience(_: Task) -> float:
        patience.is_out = world.clock.now_s < keeping_s + 3_000.0
        return 26.0

    world.value = lose_patience
    world.visits.clear()
    world.run(6_000.0)
    beside = [time_s for time_s, _, _ in world.visits if time_s < keeping_s + 3_000.0]
    assert 1 < len(beside) < len(world.visits)
    assert _count(world, "lock_ignored") == len(beside)
    assert [record.levelname for record in caplog.records if "measuring lock" in record.message] == ["ERROR"]


def _count(world: _World, name: str) -> float:
    """What Prometheus reads of a counter of the loop's status."""
    world.view.set_status(world.loop.status())
    text = asyncio.run(Rendered(world.view).get(as_openmetrics=False, gzipped=False)).decode()
    (line,) = (line for line in text.splitlines() if line.startswith(f"toposcope_measuring_{name}_total "))
    return float(line.split()[1])


def test_a_machine_that_keeps_still_has_no_full_look() -> None:
    world = _World()
    world.loop.set_tasks([_task(0, 1), _task(2, 3, tier=1)])
    world.run(20_000.0)
    assert world.loop.status()["full_looks"] == 0


def test_a_new_plan_drops_what_is_gone_and_measures_what_is_new_in_a_burst() -> None:
    world, stays, goes, comes = _World(), _task(0, 1), _task(0, 3), _task(1, 2)
    world.loop.set_tasks([stays, goes])
    world.run(3_000.0)
    world.visits.clear()
    changed_s = world.clock.now_s
    world.loop.set_tasks([stays, comes])
    assert world.loop.task_count == 2
    world.run(120.0)
    assert not _times(world, goes)
    assert len(_times(world, comes)) >= BURST_VISITS
    soon = [time_s for time_s in _times(world, stays) if time_s < changed_s + 120]
    assert len(soon) <= 1, "known results keep their pace"


def test_a_new_plan_forgets_whom_the_old_one_suspected() -> None:
    """Two visits that were elsewhere before the change and one after it prove no move."""
    world, task = _World(), _task(0, 1)
    world.loop.set_tasks([task, _task(2, 3, tier=1)])
    world.run(3_000.0)
    world.value = lambda _: 109.0
    before = len(_times(world, task))
    while len(_times(world, task)) < before + 2:
        world.run(1.0)
    world.loop.set_tasks([task, _task(2, 3, tier=1)])
    world.value = lambda _: 26.0
    world.run(2_000.0)
    assert world.loop.status()["full_looks"] == 0


def test_those_who_ask_without_end_leave_half_of_the_budget_to_measuring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = _World()
    own_cpu_s = loop_module.time.process_time()
    monkeypatch.setattr(loop_module.time, "process_time", lambda: own_cpu_s)
    begin_s = world.clock.now_s
    spent_before_s = world.loop._short.spent_s
    for _ in range(3600):
        world.clock.now_s += 1.0
        own_cpu_s += 0.5  # answering takes half a CPU
        world.loop._charge_own_cpu(world.clock.now_s)
    income_s = (world.clock.now_s - begin_s) * world.loop._short.ratio
    paid_s = world.loop._short.spent_s - spent_before_s
    assert paid_s == pytest.approx(income_s * loop_module._OWN_WORK_SHARE_MAX, rel=0.01)
    assert world.loop._short.wait_s(world.clock.now_s) == 0


def test_own_work_is_paid_in_full_where_it_comes_in_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World()
    own_cpu_s = loop_module.time.process_time()
    monkeypatch.setattr(loop_module.time, "process_time", lambda: own_cpu_s)
    world.loop._charge_own_cpu(world.clock.now_s)
    spent_before_s = world.loop._short.spent_s
    own_cpu_s += 0.3
    for _ in range(3600):
        world.clock.now_s += 1.0
        world.loop._charge_own_cpu(world.clock.now_s)
    assert world.loop._short.spent_s - spent_before_s == pytest.approx(0.3, rel=0.01)


class _Stopping:
    """Stands in for the event that the loop waits for: each wait takes so much longer than it was to."""

    def __init__(self, clock: _Clock, stopped_s: float, waits: int) -> None:
        self._clock, self._stopped_s, self._waits = clock, stopped_s, waits

    def clear(self) -> None: ...

    async def wait(self) -> None:
        if not self._waits:
            raise asyncio.CancelledError
        self._waits -= 1
        self._clock.now_s += loop_module._WAIT_STEP_S + self._stopped_s
        raise TimeoutError


@pytest.mark.parametrize("stopped_s", [0.0, 30.0])
def test_a_daemon_that_was_stopped_has_no_budget_to_catch_up_with(
    monkeypatch: pytest.MonkeyPatch, stopped_s: float
) -> None:
    world, steps = _World(), 8
    monkeypatch.setattr(loop_module.time, "process_time", lambda: world.loop._own_cpu_s)
    world.loop.set_tasks([_task(0, 1)])
    budgets = [world.loop._short, world.loop._long, world.loop._saturation]
    for budget in budgets:
        budget.charge(3.0, world.clock.now_s)
    before_s = [budget.balance_s(world.clock.now_s) for budget in budgets]
    begin_s = world.clock.now_s
    world.loop._changed = _Stopping(world.clock, stopped_s, steps)  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(_wait_for_real(world.loop))
    assert world.clock.now_s - begin_s == pytest.approx(steps * (loop_module._WAIT_STEP_S + stopped_s))
    for budget, at_first_s in zip(budgets, before_s, strict=True):
        earned_s = budget.balance_s(world.clock.now_s) - at_first_s
        assert earned_s == pytest.approx(steps * loop_module._WAIT_STEP_S * budget.ratio)


def test_no_cpu_and_no_node_earns_while_the_daemon_is_stopped() -> None:
    world = _World(cpu_count=8)
    limits = world.loop._limits
    limits.charge((0,), 1.0, (0,), 3.0, world.clock.now_s)
    waits_s = [limits.wait_s((0,), nodes, world.clock.now_s) for nodes in ((), (0,))]
    world.clock.now_s += 3600.0
    world.loop._forgo_stopped(expected_s=world.clock.now_s - 3600.0)
    assert [limits.wait_s((0,), nodes, world.clock.now_s) for nodes in ((), (0,))] == pytest.approx(waits_s)
