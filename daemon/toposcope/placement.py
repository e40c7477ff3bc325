"""Do CPUs stay where they are? Told from what pairs of CPUs show, visit by visit; pure.

Hypervisors move virtual CPUs, and tell the guest nothing: its declared topology stays as it is. A pair that
keeps returning to several distances has several relations by turns, so the one relation that is declared for
it is contradicted, whatever it is, and so is all advice that rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from toposcope.measure.validity import STABLE_VISITS_MIN
from toposcope.results import Mode, Result

Placement = Literal["stable", "unstable", "unknown"]

# What decides: lines between CPUs tell how far apart these are, and little else changes them.
PROBES: Final = ("cacheline_cas", "cacheline_handover")
# `status` and the metrics stay readable on large machines; the rest is in /api/v1/results.
PAIRS_SHOWN_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class MovingPair:
    """A pair with several modes, ascending; `relation` is the declared one that can't hold in all of them."""

    result_id: str
    cpus: tuple[int, ...]
    relation: str
    measure: str
    modes: tuple[Mode, ...]
    switches_per_hour_at_least: float

    def sentence(self) -> str:
        """What was seen, for people."""
        places = ", ".join(f"{mode.value.estimate:.3g} ({mode.share:.0%})" for mode in self.modes)
        first, second = self.cpus
        return (f"CPUs {first} and {second} are declared {self.relation}, but {self.measure} keeps returning "
                f"to {len(self.modes)} values: {places}")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """`moving` is empty unless `unstable`: at most PAIRS_SHOWN_MAX of the `count` pairs that move."""

    placement: Placement
    moving: tuple[MovingPair, ...] = ()
    count: int = 0

    @property
    def contradicted(self) -> tuple[str, ...]:
        """The declared relations that do not hold all the time, in alphabetical order."""
        return tuple(sorted({pair.relation for pair in self.moving}))


def judge(results: Iterable[Result]) -> Standing:
    """`unstable` where any pair moves; `stable` where one was visited often enough and none moves."""
    judged = [result for result in results if result.identity.probe in PROBES]
    moving = [result for result in judged if result.verdict == "unstable"]
    if moving:
        return Standing("unstable", tuple(map(_moving_pair, moving[:PAIRS_SHOWN_MAX])), len(moving))
    enough = any(result.visits >= STABLE_VISITS_MIN and result.verdict == "ok" for result in judged)
    return Standing("stable" if enough else "unknown")


def to_json(standing: Standing) -> dict[str, Any]:
    """What `/api/v1/status` shows as `placement_evidence`; latencies in the measure's unit (ns)."""
    return {
        "contradicted_relations": list(standing.contradicted),
        "moving_pairs": standing.count,
        "pairs": [
            {
                "id": pair.result_id,
                "cpus": list(pair.cpus),
                "relation": pair.relation,
                "measure": pair.measure,
                "modes": [
                    {"estimate": mode.value.estimate, "share": mode.share, "visits": mode.visits}
                    for mode in pair.modes
                ],
                "switches_per_hour_at_least": pair.switches_per_hour_at_least,
                "sentence": pair.sentence(),
            }
            for pair in standing.moving
        ],
    }


def _moving_pair(result: Result) -> MovingPair:
    identity = result.identity
    return MovingPair(
        identity.id,
        identity.target.cpus,
        identity.relation or "unrelated",
        result.primary,
        result.modes,
        result.switches_per_hour or 0.0,
    )
