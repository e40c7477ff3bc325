"""Drift baselines over restarts: they go on where they were, and end where the machine changed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toposcope.baselines import Baselines
from toposcope.clock import ManualClock
from toposcope.judge import Judge
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.store import Store
from toposcope.topology.model import Machine
from toposcope.view import View

_MACHINE = Machine(
    is_this_system=False,
    online_cpus=(0, 1),
    settings=(("frequency_governor", "powersave"), ("kernel", "6.1"), ("microcode", "0x1")),
)
_PAIR = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "l3")
_HOUR_S = 3600.0


class _Host:
    """A store with a daemon's judge and baselines beside it, which can be started again and again."""

    def __init__(self, store: Store, machine: Machine = _MACHINE, fingerprint: str = "f") -> None:
        self.store = store
        self.clock = ManualClock()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.view = View(machine, fingerprint)
        self.judge = Judge(self.view, self.clock, self._note, lambda _: None)
        self.baselines = Baselines(store, self.view, self.judge, self.clock, _at_once, self._note)
        asyncio.run(self.baselines.restart())

    async def _note(self, kind: str, event: dict[str, Any]) -> None:
        self.events.append((kind, event))

    def live(self, hours: range, value: float) -> None:
        chooser = random.Random(hours.start)
        for hour in hours:
            now = value * chooser.gauss(1, 0.01)
            estimate = Estimate(now, now, now, now, now * 0.99, now * 1.01, 0.0)
            visit = Visit(hour * _HOUR_S, 0.003, "ok", "", {"latency_ns": estimate})
            self.store.record_all(self.view.fingerprint, [(_PAIR, "latency_ns", visit)])
            asyncio.run(self.judge.observe(_PAIR, "latency_ns", visit))

    def baseline(self) -> float | None:
        asyncio.run(self.judge.conclude())
        groups = self.view.judgements.drift_groups
        return groups[0].baseline if groups else None

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()


@pytest.mark.parametrize("is_kept", [True, False], ids=["stopped", "killed"])
def test_a_baseline_survives_a_restart_and_visits_that_are_pruned(tmp_path: Path, is_kept: bool) -> None:
    with Store(tmp_path) as store:
        first = _Host(store)
        first.live(range(400), 26.0)
        asyncio.run(first.baselines.keep())
        first.live(range(400, 420), 26.0)
        if is_kept:
            asyncio.run(first.baselines.keep())
            # All that the baseline was learnt from is gone; it goes on from what was kept.
            store.prune(100 * 86_400.0, raw_days=1, daily_days=400, max_bytes=1 << 30)
        second = _Host(store)
        assert second.judge.watched() == first.judge.watched()
        assert second.baseline() == pytest.approx(26.0, rel=0.01)
        second.live(range(420, 425), 33.8)
        assert second.kinds() == ["drift"]
        assert second.events[0][1]["before"] == pytest.approx(26.0, rel=0.01)


@pytest.mark.parametrize("name", ["kernel", "microcode", "frequency_governor"])
def test_a_setting_that_changed_makes_a_new_baseline_with_an_event(tmp_path: Path, name: str) -> None:
    changed = replace(
        _MACHINE, settings=tuple((key, "new" if key == name else value) for key, value in _MACHINE.settings)
    )
    with Store(tmp_path) as store:
        first = _Host(store)
        first.live(range(200), 26.0)
        asyncio.run(first.baselines.keep())
        second = _Host(store, changed)
        assert second.events == [("baseline_reset", {"changed": {name: [_MACHINE.setting(name), "new"]}})]
        assert second.baseline() is None
        second.live(range(200, 300), 40.0)  # no drift is told across the change
        assert second.kinds() == ["baseline_reset"]
        assert second.baseline() == pytest.approx(40.0, rel=0.01)
        assert _Host(store, changed).kinds() == []


def test_another_topology_makes_a_new_baseline(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        _Host(store).live(range(100), 26.0)
        other = _Host(store, fingerprint="g")
        assert other.events == [("baseline_reset", {"changed": {"fingerprint": ["f", "g"]}})]
        assert other.baseline() is None


def test_a_governor_that_changes_while_the_daemon_runs_is_noticed(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        host = _Host(store)
        host.live(range(100), 26.0)
        asyncio.run(host.baselines.check())
        assert host.events == []
        settings = (("frequency_governor", "performance"), *_MACHINE.settings[1:])
        host.view.set_machine(replace(_MACHINE, settings=settings), "f")
        asyncio.run(host.baselines.check())
        assert host.kinds() == ["baseline_reset"]
        assert host.baseline() is None


def test_what_another_version_kept_is_learnt_anew_from_the_visits(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        _Host(store).live(range(100), 26.0)
        store.set_note("drift_baseline", '{"context": 7}')
        host = _Host(store)
        assert host.events == []
        store.set_note("drift_baseline", "no JSON at all")
        assert _Host(store).events == []
