"""What the operating system declares against a sample of pairs: for machines too large for all of them. Pure.

From a sample no levels can be inferred, but each declared level can still be held against what was measured:
of two pairs that a wider level holds, is the one inside the level nearer than the one that leaves it? The
share of such comparisons that come out as declared is the agreement, as in `agreement`, over pairs instead of
CPU by CPU. What a sample can't tell is said in the doubts.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from toposcope.matrix import Matrix
from toposcope.topology.agreement import AGREES, CPU_DISAGREES, Agreement, AgreementState, LevelAgreement
from toposcope.topology.model import Machine

# With fewer pairs on either side, chance alone wins or loses all comparisons too often (1 in 35 for 3 and 4).
PAIRS_MIN: Final = 3


def compare_sample(machine: Machine, matrix: Matrix) -> Agreement:
    """Hold every declared level against the pairs that are known. Raises nothing.

    `disagreeing_cpus` and `same_as` stay empty: a sample knows too few pairs of any one CPU.
    """
    pairs = _known_pairs(matrix, set(machine.online_cpus))
    partitions = [partition for _, partition in machine.levels]
    homes = [{cpu: index for index, group in enumerate(each) for cpu in group} for each in partitions]
    levels = []
    for index, (name, _) in enumerate(machine.levels):
        wider = homes[index + 1] if index + 1 < len(homes) else None
        around = [pair for pair in pairs if wider is None or _together(wider, pair)]
        mates = [pair[2] for pair in around if _together(homes[index], pair)]
        strangers = sorted(pair[2] for pair in around if not _together(homes[index], pair))
        levels.append(_level(name, mates, strangers))
    return Agreement(tuple(levels), (), (_doubt(machine, len(pairs)),))


def _known_pairs(matrix: Matrix, online: set[int]) -> list[tuple[int, int, float]]:
    return [
        (cpu, other, value)
        for i, cpu in enumerate(matrix.cpus)
        for other in matrix.cpus[:i]
        if cpu in online and other in online and (value := matrix.value(cpu, other)) is not None
    ]


def _together(homes: dict[int, int], pair: tuple[int, int, float]) -> bool:
    home = homes.get(pair[0])
    return home is not None and home == homes.get(pair[1])


def _level(name: str, mates: Sequence[float], ordered_strangers: Sequence[float]) -> LevelAgreement:
    if min(len(mates), len(ordered_strangers)) < PAIRS_MIN:
        cause = (f"{len(mates)} pairs inside and {len(ordered_strangers)} across were measured; "
                 f"{PAIRS_MIN} of each are needed")  # fmt: skip
        return LevelAgreement(name, "unresolved", None, (), None, cause)
    count = len(ordered_strangers)
    won = sum(
        count - (bisect_left(ordered_strangers, mate) + bisect_right(ordered_strangers, mate)) / 2
        for mate in mates
    )
    agreement = won / (len(mates) * count)
    if agreement >= AGREES:
        return LevelAgreement(name, "agrees", agreement, (), None, "")
    state: AgreementState = "contradicted" if agreement < CPU_DISAGREES else "unresolved"
    cause = (f"of {len(mates)} pairs inside and {count} across, those inside are no nearer in "
             f"{1 - agreement:.0%} of the comparisons; `toposcope matrix --measure` tells more")  # fmt: skip
    return LevelAgreement(name, state, agreement, (), None, cause)


def _doubt(machine: Machine, known: int) -> str:
    possible = math.comb(len(machine.online_cpus), 2)
    return (f"only {known} of {possible} pairs were measured: each level is judged by a sample; which CPUs "
            "disagree, and levels that nobody declares, can't be told")  # fmt: skip
