"""Recorded traces of placement: the daemon's visits of pairs, and c2clat's readings in between.

`bench/bench_placement.py` and `bench/bench_modes.py` record them; the tests replay them. What is compared: the state (does anything
move?), and the modes that both sides had the chance to see.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import msgspec

from toposcope import placement
from toposcope.measure import modes
from toposcope.measure.validity import WINDOW_VISITS_MAX, judge_result
from toposcope.results import Estimate, Identity, Target, Verdict, Visit

# The peer's operation (c2clat -w); our hand-over of two lines costs two to three times as much.
_SAME_OPERATION: Final = "cacheline_cas"
# A mode this frequent in the peer's readings is seen in twenty visits, but once in a hundred times.
SHARE_SURELY_SEEN: Final = 0.2
# The peer prints whole nanoseconds, the lowest of 1000 samples; ours is a median over lines.
SAME_MODE_RATIO: Final = 1.3


class TracedResult(msgspec.Struct, frozen=True):
    """A result's visits in order of time; `time_s` counts from the trace's begin."""

    identity: Identity
    measure: str
    visits: tuple[Visit, ...]


class Trace(msgspec.Struct, frozen=True):
    """`peer` is c2clat's readings (time from the begin in s, latency in ns); the rest is the daemon's."""

    machine: dict[str, str | None]
    placement: str
    placement_evidence: dict[str, Any]
    results: tuple[TracedResult, ...]
    peer: tuple[tuple[float, float], ...]

    def between(self, from_s: float, to_s: float) -> Trace:
        """What both saw in a part of the time, judged as if there had been no more."""
        results = tuple(
            msgspec.structs.replace(each, visits=visits)
            for each in self.results
            if (visits := tuple(visit for visit in each.visits if from_s <= visit.time_s < to_s))
        )
        peer = tuple(reading for reading in self.peer if from_s <= reading[0] < to_s)
        cut = msgspec.structs.replace(self, results=results, peer=peer)
        standing = standing_of(cut)
        return msgspec.structs.replace(
            cut, placement=standing.placement, placement_evidence=placement.to_json(standing)
        )


def read_trace(path: Path, relation: str = "package") -> Trace:
    """A trace of `bench_placement.py`, or one of `bench_modes.py`, which lacks the pair's declared relation."""
    document = msgspec.json.decode(path.read_bytes())
    if "operations" not in document:
        return msgspec.convert(document, Trace)
    results = tuple(
        TracedResult(
            Identity(probe, Target((0, 1)), {"model": "thread"}, relation),
            "latency_ns",
            tuple(_visit(*row) for row in rows["ours"]),
        )
        for probe, rows in document["operations"].items()
    )
    peer = tuple((time_s, ns) for time_s, ns in document["operations"][_SAME_OPERATION]["c2clat"])
    trace = Trace({"machine": document["machine"]}, "unknown", {}, results, peer)
    return trace.between(-math.inf, math.inf)


def _visit(time_s: float, verdict: Verdict, value: float, low: float, high: float) -> Visit:
    measures = {"latency_ns": Estimate(value, value, value, value, low, high, 0.0)} if value > 0 else {}
    return Visit(time_s, 0.0, verdict, "" if verdict == "ok" else "as recorded", measures)


def standing_of(trace: Trace) -> placement.Standing:
    """What the daemon concludes from the trace's visits."""
    return placement.judge(
        judge_result(each.identity, each.measure, each.visits[-WINDOW_VISITS_MAX:]) for each in trace.results
    )


def peer_modes(trace: Trace) -> list[tuple[float, float]]:
    """The peer's modes as (ns, share), ascending, found by the same rule as our own."""
    seen = [modes.Observation(time_s, Estimate(*(latency_ns,) * 6, 0.0)) for time_s, latency_ns in trace.peer]
    return [(mode.value.estimate, mode.share) for mode in modes.find(seen).modes]


def own_modes(trace: Trace) -> list[tuple[float, float]]:
    """Our modes of the same operation as (ns, share), ascending, over all variants of the pair."""
    seen = [
        modes.Observation(visit.time_s, visit.measures[each.measure])
        for each in trace.results
        if each.identity.probe == _SAME_OPERATION
        for visit in each.visits
        if visit.verdict == "ok"
    ]
    return [(mode.value.estimate, mode.share) for mode in modes.find(seen).modes]


def agreement(trace: Trace) -> dict[str, Any]:
    """Both sides' modes, and whether they agree: in the state, and in every mode that is frequent."""
    own, peer = own_modes(trace), peer_modes(trace)
    state = "unstable" if len(peer) > 1 else "stable"
    missed = [mode for mode in peer if mode[1] >= SHARE_SURELY_SEEN and not _holds(own, mode[0])]
    foreign = [mode for mode in own if mode[1] >= SHARE_SURELY_SEEN and not _holds(peer, mode[0])]
    return {
        "own_modes": own,
        "peer_modes": peer,
        "visits": sum(len(each.visits) for each in trace.results),
        "readings": len(trace.peer),
        "peer_state": state,
        "missed": missed,
        "foreign": foreign,
        "agrees": state == trace.placement and not missed and not foreign,
    }


def _holds(found: list[tuple[float, float]], value: float) -> bool:
    return any(max(value / other, other / value) <= SAME_MODE_RATIO for other, _ in found)
