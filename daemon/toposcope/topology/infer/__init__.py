"""The topology of a machine from its latencies alone, with a measure of its own certainty. Pure.

`outliers` and `quality` say what the matrix is worth, `linkage` joins CPUs to groups in order of latency,
`cuts` finds where that order pauses, `certainty` decides which pauses are levels. Limits and error rates:
docs/infer.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from toposcope.matrix import Matrix
from toposcope.topology.infer import quality
from toposcope.topology.infer.certainty import LEAST_CERTAINTY, Judged, choose
from toposcope.topology.infer.cuts import Labels, candidate_cuts, is_incomplete, is_of_home_only
from toposcope.topology.infer.linkage import join_order
from toposcope.topology.infer.outliers import without_outliers
from toposcope.topology.model import Partition, partition_of

__all__ = ["FLAT_RATIO", "Inference", "Level", "infer"]

Verdict = Literal["structured", "flat", "continuum", "unusable"]

# Without levels, a machine is flat if nine tenths of its pairs lie within this ratio, a continuum if not.
FLAT_RATIO: Final = 1.2
# How certain a cut that is not reported has to be for a reason to name it.
WORTH_MENTIONING: Final = 0.3
_NAMED_CPUS: Final = 8


@dataclass(frozen=True, slots=True)
class Level:
    """A partition of all CPUs of the matrix; single CPUs are groups of one.

    `latency_ns_median` is of the pairs that meet at this level and at no closer one. `home` says that one
    group grew alone: the socket that held the shared line, while other sockets could not be told apart.
    """

    name: str
    latency_ns_median: float | None
    groups: Partition
    confidence: float
    home: bool = False


@dataclass(frozen=True, slots=True)
class Inference:
    """`levels` go from the closest to the widest, each inside the next; none unless `structured`.

    `confidence` (0-1) is how often, among generated machines, an answer like this one was right as a whole.
    """

    verdict: Verdict
    levels: tuple[Level, ...]
    confidence: float
    reasons: tuple[str, ...]


def infer(matrix: Matrix) -> Inference:
    """The nested levels that the latencies show. Any matrix gets an answer; 512 CPUs take a second.

    Raises nothing.
    """
    notes = list(matrix.notes)
    impossible = quality.impossible_cells(matrix)
    if impossible:
        example = f"CPUs {impossible[0][0]} and {impossible[0][1]}, for one"
        reason = f"{len(impossible)} cells are zero or less ({example}): the clock was too coarse"
        return _unusable(notes, reason)
    everything = matrix.symmetric()
    placed = quality.placeable(everything)
    values = [[everything[i][j] for j in placed] for i in placed]
    if len(placed) < 2:
        return _unusable(notes, "no pair of CPUs was measured")
    share = quality.known_share(values)
    if share < quality.MIN_KNOWN_SHARE:
        return _unusable(notes, f"only {share:.0%} of the pairs were measured; at least half are needed")
    lost = sorted(set(matrix.cpus) - {matrix.cpus[i] for i in placed})
    if lost:
        notes.append(f"{_cpus(lost)}: too few pairs measured to place them; each stands alone")
    return _inferred(matrix, placed, values, notes)


def _inferred(
    matrix: Matrix, placed: Sequence[int], values: list[list[float | None]], notes: list[str]
) -> Inference:
    raw = [[None if value is None else math.log(value) for value in row] for row in values]
    logs, odd_pairs = without_outliers(raw)
    if odd_pairs:
        notes.append(f"{odd_pairs} pairs read far slower than all around them: left out as disturbed")
    cuts = candidate_cuts(join_order(logs), len(placed))
    clock = quality.Clock(quality.grain_ns(matrix), quality.tick_ns(values))
    chosen, given_up = choose(cuts, logs, clock)
    levels = _whole(chosen, given_up)
    kept = math.prod(judged.certainty for judged in levels)
    certain = _calibrated(kept * math.prod(1 - judged.certainty for judged in given_up))
    notes += [_doubtful(judged) for judged in given_up if judged.certainty >= WORTH_MENTIONING]
    if levels:
        reasons = [*notes, *map(_describe, levels)]
        named = tuple(_level(number, judged, matrix.cpus, placed) for number, judged in enumerate(levels, 1))
        return Inference("structured", named, certain, tuple(reasons))
    undisturbed = [[None if log is None else math.exp(log) for log in row] for row in logs]
    return _without_levels(len(placed), quality.spread_ratio(undisturbed), certain, notes)


def _whole(chosen: Sequence[Judged], given_up: Sequence[Judged]) -> list[Judged]:
    """The levels among the cuts that were chosen: those that cover the machine and are complete.

    A cut that may be just the faster part of another one is no level, even if that one isn't certain either;
    nor is one that divides just the socket that held the shared line.
    """
    likely = [judged.cut for judged in given_up if judged.certainty >= WORTH_MENTIONING]
    wider = [*(judged.cut for judged in chosen), *likely]
    whole = [
        judged
        for judged in chosen
        if judged.cut.covers_machine and not any(is_incomplete(judged.cut, wide) for wide in wider)
    ]
    finer = [None, *(judged.cut.labels for judged in whole)]
    of_home = [is_of_home_only(labels, narrow.cut, wide.cut)
               for labels, narrow, wide in zip(finer, whole, whole[1:], strict=False)]  # fmt: skip
    return [judged for judged, inside in zip(whole, [*of_home, False], strict=False) if not inside]


def _calibrated(product: float) -> float:
    """The product of all certainties as the share of answers that were right (docs/infer.md has the table).

    The decisions of one answer are not independent, so an unlikely product is right more often than it says.
    """
    return 0.99 - 0.35 * (1 - product) ** 2


def _without_levels(count: int, spread: float, certain: float, notes: list[str]) -> Inference:
    if count == 2:
        notes.append("two CPUs make one pair: there are no levels to tell apart")
        return Inference("flat", (), 1.0, tuple(notes))
    flat = spread <= FLAT_RATIO
    # Near the border between the two verdicts either may be right.
    certain *= 1 - 0.5 * math.exp(-abs(math.log(spread / FLAT_RATIO)) / 0.05)
    if flat:
        reason = f"nine tenths of the pairs lie within {spread:.2f} times: no CPU is nearer than another"
    else:
        reason = (f"nine tenths of the pairs spread over {spread:.2f} times, but no step stands out: "
                  "near and far pass into each other, as on a mesh")  # fmt: skip
    return Inference("flat" if flat else "continuum", (), certain, (*notes, reason))


def _unusable(notes: list[str], reason: str) -> Inference:
    return Inference("unusable", (), 1.0, (*notes, reason))


def _level(number: int, judged: Judged, cpus: Sequence[int], placed: Sequence[int]) -> Level:
    name = f"home_{number}" if judged.cut.alone else f"level_{number}"
    near_ns = None if judged.near_ns is None else round(judged.near_ns, 2)
    groups = _groups(judged.cut.labels, cpus, placed)
    return Level(name, near_ns, groups, judged.certainty, judged.cut.alone)


def _groups(labels: Labels, cpus: Sequence[int], placed: Sequence[int]) -> Partition:
    members: dict[int, list[int]] = {}
    for label, position in zip(labels, placed, strict=True):
        members.setdefault(label, []).append(cpus[position])
    alone = set(cpus) - {cpus[position] for position in placed}
    return partition_of([*members.values(), *([cpu] for cpu in alone)])


def _describe(judged: Judged) -> str:
    groups = len(set(judged.cut.labels))
    what = f"{groups} groups: the next CPUs are {math.exp(judged.cut.step):.2f} times as far"
    if judged.cut.alone:
        what += "; one group holds half of the machine, the rest none: the shared line was homed there"
    return what


def _doubtful(judged: Judged) -> str:
    groups = len(set(judged.cut.labels))
    return (f"a step of {math.exp(judged.cut.step):.2f} times at {groups} groups is no level: "
            f"{judged.certainty:.0%} certain, where {LEAST_CERTAINTY:.0%} is asked for")  # fmt: skip


def _cpus(cpus: Sequence[int]) -> str:
    names = ", ".join(map(str, cpus[:_NAMED_CPUS]))
    more = f" and {len(cpus) - _NAMED_CPUS} more" if len(cpus) > _NAMED_CPUS else ""
    return f"CPU{'s' if len(cpus) > 1 else ''} {names}{more}"
