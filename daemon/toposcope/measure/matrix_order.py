"""In which order the pairs of the CPU × CPU matrix are measured, and which where they are too many; pure.

Two pairs of the same relation whose CPUs lie in the same two L3 domains (or both in one) are one class.
Classes come in turns: a pair of each, then a second of each, and so on. So every class is known by one pair
long before the matrix is complete, and by several soon after. That is all that transitivity is used for: it
says what may wait, and what is left out where there are more pairs than a daemon can hold. No pair is ever
shown as measured because others of its class were.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from toposcope.topology.model import Machine

Pair = tuple[int, int]


def pairs_by_turns(machine: Machine, cpus: Sequence[int], pairs_max: int, seed: int) -> list[Pair]:
    """At most `pairs_max` pairs (ascending in each), the classes' first ones first; `seed` draws within each.

    All pairs where there are not more.
    """
    classes = _classes(machine, cpus)
    chooser = random.Random(seed)
    for members in classes:
        chooser.shuffle(members)
    turns = itertools.zip_longest(*classes)
    in_order = (pair for turn in turns for pair in turn if pair is not None)
    return list(itertools.islice(in_order, pairs_max))


def _classes(machine: Machine, cpus: Sequence[int]) -> list[list[Pair]]:
    """Pairs by relation and by the two domains that they lie in."""
    domains = machine.cache_partition(3) or machine.packages or (tuple(cpus),)
    domain_of = {cpu: index for index, members in enumerate(domains) for cpu in members}
    classes: dict[tuple[str, frozenset[int | None]], list[Pair]] = {}
    for pair in itertools.combinations(sorted(cpus), 2):
        key = machine.relation(*pair), frozenset(domain_of.get(cpu) for cpu in pair)
        classes.setdefault(key, []).append(pair)
    return list(classes.values())
