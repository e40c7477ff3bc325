"""The report: which visits the claims rest on, and the claims as they stand; the measuring is a session's.

A claim compares two sides that are visited in turn, so visits come in rounds. After the first rounds only
the claims whose verdict a few more visits might overturn go on, until all are settled or time is up: what is
clear costs three visits a side, what is close has most of the time.

A report ends within three minutes whatever happens: no visit begins after VISITING_S_MAX, none lasts longer
than VISIT_S_MAX (one that hung is not tried again), and whoever measures gives up after ENDS_S_MAX, which
waiting for another measurer may take.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

import toposcope_probes
from toposcope import claims
from toposcope.claims_pairs import PAIRS_MAX
from toposcope.claims_wanted import wanted
from toposcope.measure.plan import ProbeChoice, Task, plan
from toposcope.results import Identity, Visit
from toposcope.topology.model import Machine
from toposcope_probes.contract import Program

SCHEMA_VERSION: Final = 1
VISITING_S_MAX: Final = 150.0
VISIT_S_MAX: Final = 20.0
ENDS_S_MAX: Final = 174.0

_FIRST_ROUNDS: Final = 3
# A kernel's visit takes milliseconds: so many in a round cost less than one of a Python program.
_KERNEL_VISITS_A_ROUND: Final = 4

Visited = Sequence[tuple[Identity, Sequence[Visit]]]


def rounds(
    machine: Machine, *, cpus: Sequence[int], interpreters: Sequence[str], visited: Callable[[], Visited],
    only: Collection[str] | None = None,
) -> Iterator[list[Task]]:  # fmt: skip
    """The tasks of each round, on the planner's most important targets; `visited` tells what they brought.

    The first rounds visit both sides of every claim (or of those in `only`, and nothing else). Then comes
    what is only told beside them, once. Then rounds of what is not settled.
    """
    planned = list(_planned(machine, cpus, interpreters))
    if only is not None:
        planned = [(task, kept) for task, names in planned if (kept := [n for n in names if n in only])]
    compared = [(task, names) for task, names in planned if names]
    for _ in range(_FIRST_ROUNDS):
        yield _round([task for task, _ in compared], visited())
    yield [task for task, names in planned if not names]
    for _ in range(_FIRST_ROUNDS, PAIRS_MAX):
        unsettled = {claim.claim for claim in judged(visited(), machine) if not claim.is_settled}
        again = _round([task for task, names in compared if unsettled.intersection(names)], visited())
        if not again:
            return
        yield again


def _round(tasks: Sequence[Task], visited: Visited) -> list[Task]:
    """Each once that did not hang before, kernels' several times in turn."""
    hung = {identity.id for identity, visits in visited if visits and _hung(visits[-1])}
    tasks = [task for task in tasks if task.identity.id not in hung]
    kernels = [task for task in tasks if task.spec.program is Program.KERNEL]
    others = [task for task in tasks if task.spec.program is not Program.KERNEL]
    return kernels * _KERNEL_VISITS_A_ROUND + others


def _hung(visit: Visit) -> bool:
    return visit.verdict == "failed" and visit.reason.startswith("deadline")


def _planned(
    machine: Machine, cpus: Sequence[int], interpreters: Sequence[str]
) -> Iterator[tuple[Task, Sequence[str]]]:
    """Every task with the claims that compare it."""
    seen: set[str] = set()
    for one in wanted():
        spec = toposcope_probes.find(one.probe)
        if spec is None:
            continue
        bounded = dataclasses.replace(spec, deadline_ms=min(spec.deadline_ms, VISIT_S_MAX * 1000))
        choice = ProbeChoice(bounded, spec.interval_s, spec.max_age_s)
        for task in plan(machine, [choice], cpus=cpus, interpreters=interpreters):
            variant = task.identity.variant
            agrees = all(variant.get(key) == value for key, value in one.variant.items())
            if task.tier == 0 and agrees and task.identity.id not in seen:
                seen.add(task.identity.id)
                yield task, one.claims


async def within(limit_s: float | None, measuring: Awaitable[None]) -> None:
    """Break the measuring off when time is up: its program is killed and reaped, what was visited stays."""
    try:
        async with asyncio.timeout(limit_s) as limit:
            await measuring
    except TimeoutError:
        if not limit.expired():
            raise


def is_measured(visited: Visited) -> bool:
    """Whether every probe that the claims rest on has been visited at all."""
    probes = {identity.probe for identity, visits in visited if visits}
    return {one.probe for one in wanted()} <= probes


def judged(visited: Visited, machine: Machine, *, cut_short: bool = False) -> tuple[claims.Claim, ...]:
    """The fourteen claims from what was visited; where that was `cut_short`, those lacking visits say so."""
    found = claims.judge([claims.Series(identity, visits) for identity, visits in visited], machine)
    return tuple(_cut_short(claim) for claim in found) if cut_short else found


def _cut_short(claim: claims.Claim) -> claims.Claim:
    if claim.is_settled and "not measured" not in claim.reason:
        return claim
    return dataclasses.replace(claim, reason="; ".join(filter(None, (claim.reason, claims.TIME_WAS_UP))))


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
