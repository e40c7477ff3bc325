"""The machine as the cost models see it: who shares which level, by position instead of CPU id."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Final

from toposcope.topology.model import Machine, Partition

_DOMAINS: Final = ("l3", "die", "node", "package")  # the first of them that there is
_APART: Final = "apart"  # the relation of two CPUs that share no declared level


@dataclass(frozen=True)
class Level:
    """One declared level: `labels[i]` numbers the set that position i is in (its own, if in none)."""

    name: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Positions 0…n-1 stand for `cpus`. `levels` go from small sets to large ones.

    `cores[i]` numbers the core of position i; `kinds[i]` its core type (0 where there is one type).
    """

    cpus: tuple[int, ...]
    cores: tuple[int, ...]
    kinds: tuple[int, ...]
    levels: tuple[Level, ...]

    def relation(self, first: int, second: int) -> int:
        """The index in `levels` of the narrowest level that holds both, len(levels) where none does."""
        for index, level in enumerate(self.levels):
            if level.labels[first] == level.labels[second]:
                return index
        return len(self.levels)

    def relations_of(self, position: int) -> list[int]:
        """`relation` to every position at once (to itself: 0)."""
        row = [len(self.levels)] * len(self.cpus)
        for index in range(len(self.levels) - 1, -1, -1):
            for other in self._members[index][self.levels[index].labels[position]]:
                row[other] = index
        return row

    def relations_between(self, ones: Sequence[int], others: Sequence[int]) -> list[int]:
        """`relation` of each of `ones` to the one at the same place in `others`."""
        found = [len(self.levels)] * len(ones)
        for index in range(len(self.levels) - 1, -1, -1):
            label = self.levels[index].labels.__getitem__
            is_shared = map(eq, map(label, ones), map(label, others))
            found = [index if shared else wider for shared, wider in zip(is_shared, found, strict=True)]
        return found

    @functools.cached_property
    def _members(self) -> list[list[list[int]]]:
        members: list[list[list[int]]] = []
        for level in self.levels:
            sets: list[list[int]] = [[] for _ in range(max(level.labels) + 1)]
            for position, label in enumerate(level.labels):
                sets[label].append(position)
            members.append(sets)
        return members

    def relation_name(self, relation: int) -> str:
        """What that level is called."""
        return self.levels[relation].name if relation < len(self.levels) else _APART

    def level(self, name: str) -> Level | None:
        """A level by its name, or None where this machine has no such level."""
        return next((level for level in self.levels if level.name == name), None)

    def place_in_domain(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """For each position: its cache domain, its core's number within it, and how many cores that has.

        The domain is the L3 domain, else what comes next to it.
        """
        domain = self._domain()
        order: dict[int, dict[int, int]] = {}
        for core, zone in zip(self.cores, domain, strict=True):
            members = order.setdefault(zone, {})
            members.setdefault(core, len(members))
        places = tuple(order[zone][core] for core, zone in zip(self.cores, domain, strict=True))
        return domain, places, tuple(len(order[zone]) for zone in domain)

    def domain_relations(self) -> int:
        """How many relations, from the narrowest, two CPUs of one cache domain can have."""
        names = [level.name for level in self.levels]
        return next((names.index(name) + 1 for name in _DOMAINS if name in names), len(names) + 1)

    def _domain(self) -> tuple[int, ...]:
        for name in _DOMAINS:
            if (level := self.level(name)) is not None:
                return level.labels
        return (0,) * len(self.cpus)


def layout_of(machine: Machine, cpus: Sequence[int]) -> Layout:
    """The layout of those of the machine's CPUs; sets are cut down to them."""
    cores = _labels(machine.cores or (), cpus)
    sets = sorted(machine.levels, key=lambda level: max(map(len, level[1])))
    # Of equal sets the widest name counts, as for relations.
    named = {_labels(partition, cpus): name for name, partition in sets}
    levels = tuple(Level(name, labels) for labels, name in named.items())
    kinds = machine.core_types if machine.core_types and len(machine.core_types) > 1 else ()
    return Layout(tuple(cpus), cores, _kinds(kinds, cpus), levels)


def _labels(partition: Partition, cpus: Iterable[int]) -> tuple[int, ...]:
    """Numbers in the order of first occurrence, so that equal partitions have equal labels."""
    group_of = {cpu: index for index, group in enumerate(partition) for cpu in group}
    number: dict[object, int] = {}
    return tuple(number.setdefault(group_of.get(cpu, (cpu,)), len(number)) for cpu in cpus)


def _kinds(partition: Partition, cpus: Iterable[int]) -> tuple[int, ...]:
    number = {cpu: index for index, group in enumerate(partition) for cpu in group}
    return tuple(number.get(cpu, 0) for cpu in cpus)
