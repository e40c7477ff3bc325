"""How much the view keeps of a result: enough to judge it by, and no year of a large matrix."""

from __future__ import annotations

import pytest

from toposcope.measure.validity import WINDOW_VISITS_MAX
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.topology.model import Machine
from toposcope.view import View

_IDENTITY = Identity("p", Target((0, 1)), {"model": "thread"})
_MACHINE = Machine(is_this_system=True, online_cpus=(0, 1), packages=((0, 1),))
_DAY_S = 86_400.0


def _visits(count: int, interval_s: float) -> list[Visit]:
    estimate = Estimate(26.0, 25.0, 26.0, 27.0, 25.9, 26.1, 1.0)
    return [
        Visit(1.8e9 + number * interval_s, 0.002, "ok", "", {"latency_ns": estimate})
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("interval_s", "kept"),
    [(600.0, WINDOW_VISITS_MAX), (_DAY_S, 15), (7 * _DAY_S, 4), (90 * _DAY_S, 4)],
)
def test_visits_of_two_weeks_are_kept_or_the_newest_four(interval_s: float, kept: int) -> None:
    visits = _visits(200, interval_s)
    grown, loaded = View(_MACHINE, "f"), View(_MACHINE, "f")
    for visit in visits:
        grown.add(_IDENTITY, "latency_ns", visit)
    loaded.load(_IDENTITY, "latency_ns", visits)
    assert grown.visits(_IDENTITY.id) == loaded.visits(_IDENTITY.id) == tuple(visits[-kept:])
