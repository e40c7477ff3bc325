"""Cuts through the tree of joins that may be levels: partitions of the machine with a step above them.

A cut between two successive joins is a partition of the CPUs. Most cuts are none of the machine's levels: a
pair joined late, a few odd CPUs joined last. What is left here is worth judging (`certainty`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from toposcope.topology.infer.linkage import Join

Labels = tuple[int, ...]

# A smaller step is not worth acting upon, however certain it is: it is left out without being judged.
MIN_STEP_RATIO: Final = 1.12
MAX_CANDIDATES: Final = 16
# The share of CPUs that have to change company from one level to the next; below it, two cuts are variants of
# one level (a pair that joined late).
MIN_MOVED_SHARE: Final = 0.18
# A group that joined late is at most so many times as large as the groups that had formed before.
LATE_GROWTH: Final = 1.5
# At most this share of the CPUs may be left alone among pairs for them to be pairs that read late.
LATE_SHARE: Final = 0.1
HOME_SHARE: Final = (0.5, 0.75)
# Threads of a core are that much nearer than cores that share a cache.
THREADS_STEP_RATIO: Final = 1.6
# A group so many times as large as the next one stands for itself, even if small ones form beside it.
DOMINANCE: Final = 3


@dataclass(frozen=True)
class Cut:
    """The partition after a number of joins; `step` is the rise in log latency to the next join.

    `alone`: just one group grew since the next narrower cut, or one far more than all others.
    `covers_machine` is false where that group is not one half of the machine: such a cut bounds its
    neighbours but tells nothing about the other CPUs.
    """

    step: float
    labels: Labels
    alone: bool = False
    covers_machine: bool = True


def candidate_cuts(joins: Sequence[Join], count: int) -> list[Cut]:
    """The cuts worth judging, narrow to wide: those with the largest steps, variants and oddities dropped."""
    rises = enumerate(pairwise(joins), 1)
    steps = [(after.height - before.height, index) for index, (before, after) in rises]
    large = sorted(step for step in steps if step[0] >= math.log(MIN_STEP_RATIO))[-MAX_CANDIDATES:]
    step_after = {index: step for step, index in large}
    members = {cpu: [cpu] for cpu in range(count)}
    labels = list(range(count))
    cuts: list[Cut] = []
    for index, join in enumerate(joins, 1):
        moved = members.pop(join.other)
        members[join.into] += moved
        for cpu in moved:
            labels[cpu] = join.into
        if index in step_after:
            cut = Cut(step_after[index], tuple(labels))
            cut = _with_late_pairs(cut, joins, index) or cut
            if not cuts or cut.labels != cuts[-1].labels:
                cuts.append(cut)
    return _plausible(cuts, count)


def _with_late_pairs(cut: Cut, joins: Sequence[Join], index: int) -> Cut | None:
    """The cut with its last single CPUs in pairs, where nearly all others are and these join next.

    A core's two threads may both have been disturbed. That all CPUs which are left alone are nearer to one
    another than any two groups are is no chance.
    """
    sizes = Counter(cut.labels)
    alone = {label for label, size in sizes.items() if size == 1}
    late = joins[index : index + len(alone) // 2]
    joined = [label for join in late for label in (join.into, join.other)]
    if not alone or len(alone) > LATE_SHARE * len(cut.labels) or max(sizes.values()) != 2:
        return None
    if sorted(joined) != sorted(alone) or index + len(late) >= len(joins):
        return None
    into = {join.other: join.into for join in late}
    step = joins[index + len(late)].height - joins[index - 1].height
    return replace(cut, step=step, labels=tuple(into.get(label, label) for label in cut.labels))


def _plausible(cuts: list[Cut], count: int) -> list[Cut]:
    """Drop variants of one level and cuts that are no partition of the machine."""
    kept: list[Cut] = []
    singles = tuple(range(count))
    for cut in cuts:
        while kept and _completes(kept[-1], cut, finer=kept[-2].labels if len(kept) > 1 else singles):
            kept.pop()
        finer = next((other.labels for other in reversed(kept) if other.covers_machine), singles)
        form = _form(finer, cut)
        is_variant = _moved_share(finer, cut.labels) < MIN_MOVED_SHARE and finer is not singles
        if not (is_variant and form.covers_machine):
            kept.append(form)
    return kept


def _completes(narrow: Cut, wide: Cut, finer: Labels) -> bool:
    """Are two cuts one level, of which the narrower one lacks some groups that are slower inside?

    Either a few pairs joined late, or whole groups did, while those that had formed before stayed as they
    were. Not so if the wider cut goes too far: it made one group much larger than the others, or its step is
    small beside the narrower one's.
    """
    before, after, base = Counter(narrow.labels), Counter(wide.labels), Counter(finer)
    grown = {label: size for label, size in after.items() if before[label] != size}
    if max(grown.values()) > LATE_GROWTH * max(before.values()):
        return False
    if _moved_share(narrow.labels, wide.labels) < MIN_MOVED_SHARE:
        return wide.step >= narrow.step / 2
    moves = zip(narrow.labels, wide.labels, strict=True)
    formed_before = any(before[old] != base[old] for old, label in moves if label in grown)
    return not formed_before and wide.step >= narrow.step


def is_incomplete(narrow: Cut, wide: Cut) -> bool:
    """Is the narrower of two levels only that part of the wider one which is faster inside?

    So it is where all its groups are groups of the wider level too, whose others are made of single CPUs:
    clusters of different speed, or cores of which some read a tick of the clock faster. Pairs beside larger
    groups are spared where they are several, or much nearer: threads of a core, beside clusters of others.
    """
    before, after = Counter(narrow.labels), Counter(wide.labels)
    are_several = len(narrow.labels) - len(before) > 1
    are_threads = are_several or narrow.step >= math.log(THREADS_STEP_RATIO)
    if max(before.values()) == 2 < max(after.values()) and are_threads:
        return False
    moves = set(zip(narrow.labels, wide.labels, strict=True))
    return len(after) < len(before) and all(before[old] in (1, after[new]) for old, new in moves)


def is_of_home_only(finer: Labels | None, narrow: Cut, home: Cut) -> bool:
    """Do groups form from `finer` (None: single CPUs) to `narrow` just inside the home of the line?

    They may be dies, but those of the other socket can't be seen, so it is no level of the whole machine.
    """
    if not (home.alone and home.covers_machine):
        return False
    largest, _ = Counter(home.labels).most_common(1)[0]
    before = finer or tuple(range(len(narrow.labels)))
    outside = [cpu for cpu, label in enumerate(home.labels) if label != largest]
    return len({before[cpu] for cpu in outside}) == len({narrow.labels[cpu] for cpu in outside})


def _form(finer: Labels, cut: Cut) -> Cut:
    """The cut, with what it is: do two groups or more grow, or one that may be the home of the shared line?

    A group that grows alone leaves the rest as it was, ungrouped. It is taken for the socket that held the
    line, beside another one of which nothing can be seen, only where it holds one half of the machine (up to
    three quarters, where single CPUs are left). Two groups are all there is, whatever their sizes; and a pair
    may be the only core of the machine that has two threads here.
    """
    parts: dict[int, set[int]] = {}
    for fine, wide in zip(finer, cut.labels, strict=True):
        parts.setdefault(wide, set()).add(fine)
    grown = [wide for wide, fine in parts.items() if len(fine) > 1]
    size = Counter(cut.labels)
    (largest, most), *others = size.most_common(2)
    dominant = not others or most > DOMINANCE * others[0][1]
    if len(size) == 2 or (len(grown) > 1 and not dominant) or most == 2:
        return cut
    least = min(size.values())
    if len(grown) == 1 and least > 1 and len(parts[grown[0]]) == size[grown[0]]:
        return cut  # it took up the last single CPUs, beside groups that had formed before (E cores)
    share = size[largest if dominant else grown[0]] / len(cut.labels)
    upper = 1.0 if least > 1 else HOME_SHARE[1]
    return replace(cut, alone=True, covers_machine=HOME_SHARE[0] <= share <= upper)


def _moved_share(finer: Labels, labels: Labels) -> float:
    """The share of CPUs that get into a group which another part of it brought most CPUs to."""
    stay: dict[int, int] = {}
    for (_, wide), number in Counter(zip(finer, labels, strict=True)).items():
        stay[wide] = max(number, stay.get(wide, 0))
    return 1 - sum(stay.values()) / len(labels)
