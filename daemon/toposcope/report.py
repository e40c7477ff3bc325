"""The report: which visits the claims rest on, and the claims as they stand; the measuring is a session's.

A claim compares two sides that are visited in turn, so visits come in rounds: every task of the first round,
then every task of the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

import toposcope_probes
from toposcope import claims
from toposcope.measure.plan import ProbeChoice, Task, plan
from toposcope.results import Identity, Visit
from toposcope.topology.model import Machine

SCHEMA_VERSION: Final = 1


def rounds(machine: Machine, *, cpus: Sequence[int], interpreters: Sequence[str]) -> Iterator[list[Task]]:
    """The tasks of each round, on the planner's most important targets."""
    planned = list(_planned(machine, cpus, interpreters))
    for turn in range(max((visits for _, visits in planned), default=0)):
        yield [task for task, visits in planned if visits > turn]


def _planned(
    machine: Machine, cpus: Sequence[int], interpreters: Sequence[str]
) -> Iterator[tuple[Task, int]]:
    seen: set[str] = set()
    for wanted in claims.wanted():
        spec = toposcope_probes.find(wanted.probe)
        if spec is None:
            continue
        choice = ProbeChoice(spec, spec.interval_s, spec.max_age_s)
        for task in plan(machine, [choice], cpus=cpus, interpreters=interpreters):
            variant = task.identity.variant
            agrees = all(variant.get(key) == value for key, value in wanted.variant.items())
            if task.tier == 0 and agrees and task.identity.id not in seen:
                seen.add(task.identity.id)
                yield task, wanted.visits


Visited = Sequence[tuple[Identity, Sequence[Visit]]]


def is_measured(visited: Visited) -> bool:
    """Whether every probe that the claims rest on has been visited at all."""
    probes = {identity.probe for identity, visits in visited if visits}
    return {wanted.probe for wanted in claims.wanted()} <= probes


def judged(visited: Visited, machine: Machine) -> tuple[claims.Claim, ...]:
    """The fourteen claims from what was visited."""
    return claims.judge([claims.Series(identity, visits) for identity, visits in visited], machine)


def to_json(found: Iterable[claims.Claim]) -> list[dict[str, Any]]:
    """The fixed form of `report --format json`: a list of claims."""
    return [
        {
            "claim": claim.claim,
            "verdict": claim.verdict,
            "ratio": claim.ratio,
            "interval": list(claim.interval) if claim.interval else None,
            "sentence": claim.sentence,
            "numbers": msgspec.to_builtins(dict(claim.numbers)),
            "reason": claim.reason,
        }
        for claim in found
    ]
