"""The daemon's own report: when it is made, that it is outside the budget, and that it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import toposcope_probes
from toposcope import report, reporting
from toposcope.clock import Clock, SystemClock
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.measure.visit import Surveyed
from toposcope.reporting import Reporter
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.topology.model import Machine
from toposcope.view import View

MACHINE = Machine(is_this_system=True, online_cpus=(0, 1))
POINT = Estimate(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)


def task() -> Task:
    spec = toposcope_probes.find("crash_containment")
    assert spec is not None
    identity = Identity(spec.name, Target((0, 1), interpreter="python3"), {"model": "thread"})
    return Task(ProbeChoice(spec, 1.0, 1.0), identity, 0)


class Visitor:
    """Takes 10 ms and says what a visit says."""

    def __init__(self, clock: Clock, **_: Any) -> None:
        self._clock = clock

    async def visit(self, task: Task) -> Surveyed:
        await asyncio.sleep(0.01)
        measures = {task.spec.measures[0].name: POINT}
        return Surveyed(Visit(self._clock.wall_s(), 0.01, "ok", "", measures), cpu_s=0.5)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A reporter whose report is three visits, with what it records and tells."""

    def rounds(*_: Any, **__: Any) -> Iterator[list[Task]]:
        yield from ([task()] for _ in range(3))

    monkeypatch.setattr(reporting, "Visitor", Visitor)
    monkeypatch.setattr(report, "rounds", rounds)
    view, recorded, events = View(MACHINE, "0"), [], []

    async def record(identity: Identity, measure: str, visit: Visit) -> None:
        assert view.result(identity.id) is None or view.visits(identity.id)[-1] is not visit
        recorded.append(visit)

    async def event(kind: str, told: dict[str, Any]) -> None:
        events.append((kind, told))

    reporter = Reporter(view, record, event, lambda: ((0, 1), ("python3",)), SystemClock(), None)
    return {"reporter": reporter, "view": view, "recorded": recorded, "events": events}


def run(reporter: Reporter, *, for_s: float, ask: bool) -> list[str]:
    """The states that were seen meanwhile."""

    async def watch() -> list[str]:
        running = asyncio.create_task(reporter.run())
        states = [reporter.ask()["state"]] if ask else []
        until_s = asyncio.get_running_loop().time() + for_s
        while asyncio.get_running_loop().time() < until_s:
            await asyncio.sleep(0.002)
            states.append(reporter.status()["state"])
        running.cancel()
        return states

    return asyncio.run(watch())


def test_nothing_is_measured_unless_asked(made: dict[str, Any]) -> None:
    assert set(run(made["reporter"], for_s=0.1, ask=False)) == {"idle"}
    assert made["recorded"] == []


def test_a_report_that_was_asked_for_is_made_once_and_says_what_it_cost(made: dict[str, Any]) -> None:
    states = run(made["reporter"], for_s=0.4, ask=True)
    assert states[0] == "asked"
    assert "measuring" in states
    assert states[-1] == "idle"
    assert len(made["recorded"]) == len(made["view"].visits(task().identity.id)) == 3
    ((kind, told),) = made["events"]
    assert kind == "report_measured"
    assert (told["visits"], told["cpu_s"], told["outside_budget"]) == (3, 1.5, True)
    assert told["is_complete"]


def test_a_configured_report_is_made_when_the_last_one_is_old(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_START_DELAY_S", 0.0)
    made["reporter"].interval_s = 3600.0
    run(made["reporter"], for_s=0.3, ask=False)
    assert len(made["recorded"]) == 3, "the second one is due in an hour"


def test_it_ends_when_its_time_is_up(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "VISITING_S_MAX", 0.005)
    run(made["reporter"], for_s=0.2, ask=True)
    assert len(made["recorded"]) == 1
    ((_, told),) = made["events"]
    assert not told["is_complete"]


def test_a_visit_that_does_not_end_is_broken_off(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> Surveyed:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    monkeypatch.setattr(Visitor, "visit", hang)
    monkeypatch.setattr(report, "ENDS_S_MAX", 0.05)
    states = run(made["reporter"], for_s=0.3, ask=True)
    assert "measuring" in states
    assert states[-1] == "idle"
    ((_, told),) = made["events"]
    assert (told["visits"], told["is_complete"]) == (0, False)


def test_only_the_reports_own_limit_is_taken_for_one() -> None:
    async def fail() -> None:
        raise TimeoutError("of something else")

    with pytest.raises(TimeoutError, match="something else"):
        asyncio.run(report.within(1.0, fail()))
