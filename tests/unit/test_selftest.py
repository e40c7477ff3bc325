"""The daemon tests its own advice: what it tries, when, and what it makes of it."""

from __future__ import annotations

import asyncio
import itertools

import pytest

import toposcope_probes
from generators import replays
from generators.views import estimate
from toposcope.clock import ManualClock
from toposcope.measure.plan import ProbeChoice, identify
from toposcope.measure.validity import STABLE_VISITS_MIN
from toposcope.results import Target, Visit
from toposcope.selftest import INTERVAL_S, SelfTest, regret_ratio, rivals
from toposcope.topology.fingerprint import fingerprint
from toposcope.view import View

NOW_S = 1_800_000_000.0
MODEL = replays.Model("x", packages=2, cores_per_l3=4, threads=1, latency_ns={"l3": 20, "cross_package": 200})
BFS = toposcope_probes.find("workload_bfs")
CHOICES = [ProbeChoice(BFS, BFS.interval_s, BFS.max_age_s)]


def visit(measure: str, value: float, verdict: str = "ok") -> Visit:
    return Visit(NOW_S, 0.01, verdict, "", {measure: estimate(value)}, 200)


def measured_view(model: replays.Model = MODEL) -> View:
    """Every pair measured; the second half of the CPUs is nearer together, so that advice is a set of its own."""
    machine = replays.machine(model)
    view = View(machine, fingerprint(machine))
    spec = toposcope_probes.find("cacheline_cas")
    for first, second in itertools.combinations(machine.online_cpus, 2):
        identity = identify(machine, spec, Target((first, second)), {"model": "thread"})
        far = model.latency_ns[identity.relation if identity.relation == "cross_package" else "l3"]
        near = 0.5 if first >= len(machine.online_cpus) // 2 else 1.0
        view.load(identity, "latency_ns", [visit("latency_ns", far * near)] * STABLE_VISITS_MIN)
    return view


class Loop:
    """Visits as the measuring loop would, at rates by the name of the core set."""

    def __init__(self, view: View, rates: dict[str, float], verdict: str = "ok") -> None:
        self.view = view
        self.rates = rates
        self.verdict = verdict
        self.tried: list[str] = []

    async def visit_now(self, tasks, visits):
        for task in tasks * visits:
            name = task.identity.target.core_set.partition(":")[0]
            self.tried.append(name)
            made = visit("edges_per_s", self.rates[name], self.verdict)
            self.view.add(task.identity, "edges_per_s", made)


def run(view: View, loop: Loop, clock: ManualClock, choices=CHOICES) -> None:
    asyncio.run(SelfTest(view, loop, clock).run_if_due(choices))


def test_the_advised_set_is_tried_beside_others_of_its_size():
    advised, *others = rivals(measured_view(), NOW_S)
    assert set(advised.cpus) == {4, 5, 6, 7}
    assert advised.core_set == "advised:4"
    assert {other.core_set for other in others} == {"compact:4", "spread:4"}
    assert all(len(other.cpus) == 4 and set(other.cpus) != set(advised.cpus) for other in others)


@pytest.mark.parametrize(("rates", "expected"), [
    ({"advised": 110.0, "compact": 100.0, "spread": 50.0}, 0.0),
    ({"advised": 100.0, "compact": 100.0, "spread": 125.0}, 0.25),
])  # fmt: skip
def test_the_regret_is_shown(rates, expected):
    view, clock = measured_view(), ManualClock(wall_s=NOW_S)
    run(view, Loop(view, rates), clock)
    assert view.judgements.self_test_regret_ratio == pytest.approx(expected)
    assert view.judgements.self_test_time_s == NOW_S


def test_once_a_day_is_enough():
    view, clock = measured_view(), ManualClock(wall_s=NOW_S)
    loop = Loop(view, {"advised": 1.0, "compact": 1.0, "spread": 1.0})
    for pause_s, expected in ((0.0, True), (INTERVAL_S / 2, False), (INTERVAL_S, True)):
        clock.advance(pause_s)
        loop.tried.clear()
        run(view, loop, clock)
        assert bool(loop.tried) == expected


def test_noisy_visits_tell_nothing():
    view, clock = measured_view(), ManualClock(wall_s=NOW_S)
    run(view, Loop(view, {"advised": 1.0, "compact": 1.0, "spread": 1.0}, verdict="noisy"), clock)
    assert view.judgements.self_test_regret_ratio is None
    assert regret_ratio([[1.0] * 3, [1.0] * 2]) is None


def test_without_the_probe_nothing_is_tried():
    view, clock = measured_view(), ManualClock(wall_s=NOW_S)
    loop = Loop(view, {})
    run(view, loop, clock, choices=[])
    assert loop.tried == []


def test_without_advice_there_is_nothing_to_try():
    flat = replays.Model("flat", packages=1, cores_per_l3=8, threads=1, latency_ns={"l3": 30})
    machine = replays.machine(flat)
    assert rivals(View(machine, "0"), NOW_S) == ()  # nothing measured
    two = replays.Model("two", packages=1, cores_per_l3=2, threads=1, latency_ns={"l3": 30})
    assert rivals(measured_view(two), NOW_S) == ()  # no second set of two
