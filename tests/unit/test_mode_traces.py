"""Recorded hours and minutes of one pair, read by us and by c2clat in turns: both must have seen the same modes.

`bench/bench_modes.py` records; nothing is measured here. The peer's modes are found by a rule of their own,
so that an error in ours can't hide on both sides.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from toposcope.measure.modes import Observation, find
from toposcope.measure.validity import judge_result
from toposcope.results import Estimate, Identity, Target, Visit

_TRACES: Final = sorted((Path(__file__).resolve().parents[1] / "traces").glob("modes_*.json"))
_OPERATIONS: Final = ("cacheline_cas", "cacheline_handover")
# What is demanded: every mode of the peer's with that share, within these limits; and none besides.
_SHARE_SEEN: Final = 0.10
_VALUE_ERROR: Final = 0.10
_SHARE_ERROR: Final = 0.15
# A stretch in which the peer reads one value all the time, long enough for a verdict.
_STILL_TURNS: Final = 12


def _read(path: Path, operation: str) -> tuple[list[Visit], list[tuple[float, float]]]:
    """Our visits and the peer's readings (time in s, ns), turn by turn."""
    rows: dict[str, list[list[Any]]] = json.loads(path.read_text())["operations"][operation]
    visits = [
        Visit(time_s, 0.003, verdict, "" if verdict == "ok" else "as recorded", _measures(value, low, high))
        for time_s, verdict, value, low, high in rows["ours"]
    ]
    return visits, [(time_s, ns) for time_s, ns in rows["c2clat"]]


def _measures(value: float, low: float, high: float) -> dict[str, Estimate]:
    return {"latency_ns": Estimate(value, value, value, value, low, high, 0.0)} if value > 0 else {}


def _peer_modes(readings: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """(ns, share) of the groups that lie apart by more than a third."""
    ordered = sorted(ns for _, ns in readings)
    groups = [[ordered[0]]]
    for before, after in pairwise(ordered):
        if after > 4 / 3 * before:
            groups.append([])
        groups[-1].append(after)
    return [(group[len(group) // 2], len(group) / len(ordered)) for group in groups]


def _own_modes(visits: list[Visit]) -> list[tuple[float, float]]:
    sound = [
        Observation(visit.time_s, visit.measures["latency_ns"]) for visit in visits if visit.verdict == "ok"
    ]
    return [(mode.value.estimate, mode.share) for mode in find(sound).modes]


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("path", _TRACES, ids=lambda path: path.stem)
def test_every_frequent_mode_of_the_peer_is_ours_and_none_besides(path: Path, operation: str) -> None:
    visits, readings = _read(path, operation)
    own, peer = _own_modes(visits), _peer_modes(readings)
    for ns, share in peer:
        if share >= _SHARE_SEEN:
            assert any(
                abs(value / ns - 1) <= _VALUE_ERROR and abs(other - share) <= _SHARE_ERROR
                for value, other in own
            ), f"c2clat has {ns:.1f} ns ({share:.0%}), ours are {own}"
    for value, share in own:
        near = [ns for ns, _ in peer if abs(value / ns - 1) <= _VALUE_ERROR]
        assert near, f"{value:.1f} ns ({share:.0%}) is none of c2clat's {peer}"


@pytest.mark.parametrize("path", _TRACES, ids=lambda path: path.stem)
def test_where_the_host_keeps_still_the_verdict_is_ok(path: Path) -> None:
    for first, end in _still_stretches(path):
        for operation in _OPERATIONS:
            visits, readings = _read(path, operation)
            identity = Identity(operation, Target((0, 1)), {"model": "thread"})
            result = judge_result(identity, "latency_ns", visits[first:end])
            assert result.verdict == "ok", (readings[first:end], result.reason)


def _still_stretches(path: Path) -> list[tuple[int, int]]:
    """[first, end) of the turns between two moves, without those next to a move, where there are enough.

    Both operations' readings count: one alone looks half as often, and the peer gives the lowest of what it
    saw, so that it can miss a move of its own.
    """
    moved = [0]
    both = [_read(path, operation)[1] for operation in _OPERATIONS]
    for turn in range(1, len(both[0])):
        ratios = [readings[turn][1] / readings[turn - 1][1] for readings in both]
        if not all(3 / 4 < ratio < 4 / 3 for ratio in ratios):
            moved.append(turn)
    moved.append(len(both[0]))
    inner = [(before + 1, after - 1) for before, after in pairwise(moved)]
    return [(first, end) for first, end in inner if end - first >= _STILL_TURNS]


def test_there_are_traces_of_moves_and_of_stillness() -> None:
    """Or the tests above would test nothing."""
    assert sum(len(_still_stretches(path)) for path in _TRACES) >= 5
    assert any(len(_own_modes(_read(path, "cacheline_cas")[0])) > 1 for path in _TRACES)
