"""From fitted effects to the latency of every pair, core by core.

What cores of the same sets have in common is worked out once for all of them, and rows are added up as a
whole: of 512 CPUs there are 131,000 pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat
from operator import add, mul
from typing import Final

from toposcope.advise.effects import Effect
from toposcope.advise.layout import Layout

_FEW_CORES: Final = 128  # beyond, fine effects are told within a cache domain only


def predicted(layout: Layout, middles: Sequence[float], effects: Sequence[Effect]) -> list[list[float]]:
    """The latency in ns of every pair of positions; `middles` are log latencies by relation."""
    cores = _Cores(layout)
    logs = _Logs(cores, middles, [effect for effect in effects if effect.kind != "end"])
    table: dict[int, list[float]] = {}
    for unit in range(len(cores.relations)):
        table.update(logs.rows(unit))
    of_cpus = [list(map(table[number].__getitem__, cores.number)) for number in range(len(cores.heads))]
    ends = [effect for effect in effects if effect.kind == "end"]
    if ends:
        count = len(cores.number)
        factors = [math.exp(sum(effect.of_end(position) for effect in ends)) for position in range(count)]
        of_cpus = [list(map(mul, row, factors)) for row in of_cpus]
        both = zip(cores.number, factors, strict=True)
        rows = [list(map(mul, of_cpus[number], repeat(factor))) for number, factor in both]
    else:
        rows = [of_cpus[number][:] for number in cores.number]
    for index, row in enumerate(rows):
        row[index] = 0.0
    return rows


class _Cores:
    """Cores instead of CPUs: a position of each (`heads`), its last thread, and units of alike cores.

    Cores of one unit share all levels but their core, so wide effects are the same for all of them.
    `relations[u][v]` is that of two cores of units u and v.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        first = {core: index for index, core in reversed(list(enumerate(layout.cores)))}
        last = {core: index for index, core in enumerate(layout.cores)}
        self.heads = [first[core] for core in first]
        self.threads = [last[core] for core in first]
        place = {core: number for number, core in enumerate(first)}
        self.number = [place[core] for core in layout.cores]
        wide = [level.labels for level in layout.levels if level.labels != layout.cores]
        self.domain = layout.place_in_domain()[0]
        keys = [
            (self.domain[head], layout.kinds[head], *(labels[head] for labels in wide)) for head in self.heads
        ]
        units = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        self.unit = [units[key] for key in keys]
        self.members: list[list[int]] = [[] for _ in units]
        for number, unit in enumerate(self.unit):
            self.members[unit].append(self.heads[number])
        self.relations = [[layout.relation(of[0], to[-1]) for to in self.members] for of in self.members]


class _Logs:
    """Log latencies between cores, without what the CPUs themselves add."""

    def __init__(self, cores: _Cores, middles: Sequence[float], effects: Sequence[Effect]) -> None:
        self.cores, self.middles, self.effects = cores, middles, effects
        self.is_large = len(cores.heads) > _FEW_CORES
        relations = range(len(cores.layout.levels) + 1)
        fine_relations = cores.layout.domain_relations() if self.is_large else len(relations)
        wide = [effect for effect in effects if effect.kind == "pair" and not effect.is_fine]
        self.by_unit = [
            [middles[relation] + sum(effect.of_pair(relation, of[0], to[-1]) for effect in wide)
             for to, relation in zip(cores.members, of_unit, strict=True)]
            for of, of_unit in zip(cores.members, cores.relations, strict=True)
        ]  # fmt: skip
        self.fine = [(effect, effect.of_labels(fine_relations)) for effect in effects if effect.is_fine]
        ends = [effect for effect in effects if effect.kind == "end_by_relation"]
        # Of each core, by relation; nothing where no core has any.
        self.own = [[sum(effect.of_end(head, relation) for effect in ends) for relation in relations]
                    for head in cores.heads] if ends else []  # fmt: skip
        self.inside: dict[int, list[int]] = {}
        for number, head in enumerate(cores.heads):
            self.inside.setdefault(cores.domain[head], []).append(number)

    def rows(self, unit: int) -> dict[int, list[float]]:
        """The latencies in ns of each core of the unit to all cores."""
        cores, heads = self.cores, self.cores.heads
        relations = [cores.relations[unit][other] for other in cores.unit]
        shared = list(map(self.by_unit[unit].__getitem__, cores.unit))
        if self.own:
            theirs = [own[relation] for own, relation in zip(self.own, relations, strict=True)]
            shared = list(map(add, shared, theirs))
        fine = [(effect, values, effect.columns(relations, heads)) for effect, values in self.fine]
        found = {}
        for number, its_unit in enumerate(cores.unit):
            if its_unit == unit:
                logs = shared[:]
                if self.own:
                    logs = list(map(add, shared, map(self.own[number].__getitem__, relations)))
                for effect, values, columns in fine:
                    if (of_head := values.get(effect.labels[heads[number]])) is not None:
                        self._add(logs, of_head, columns, cores.domain[heads[number]])
                row = found[number] = list(map(math.exp, logs))
                row[number] = math.exp(self._between_threads(heads[number], cores.threads[number]))
        return found

    def _add(self, logs: list[float], values: Sequence[float], columns: Sequence[int], domain: int) -> None:
        if not self.is_large:
            logs[:] = map(add, logs, map(values.__getitem__, columns))
            return
        for number in self.inside[domain]:
            logs[number] += values[columns[number]]

    def _between_threads(self, one: int, other: int) -> float:
        """Of two threads of a core; of a single thread to itself nobody asks."""
        if one == other:
            return 0.0
        relation = self.cores.layout.relation(one, other)
        of_ends = sum(
            effect.of_end(one, relation) + effect.of_end(other, relation)
            for effect in self.effects if effect.kind == "end_by_relation"
        )  # fmt: skip
        return self.middles[relation] + of_ends + sum(
            effect.of_pair(relation, one, other) for effect in self.effects if effect.kind == "pair"
        )  # fmt: skip
