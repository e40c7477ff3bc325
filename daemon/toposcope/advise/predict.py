"""From fitted effects to the latency of every pair, unit by unit of cores that are alike.

What cores of the same sets have in common is worked out once for all of them, and rows are multiplied as a
whole: of 512 CPUs there are 131,000 pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat
from operator import add, itemgetter, mul
from typing import Final

from toposcope.advise.effects import Effect
from toposcope.advise.layout import Layout

_FEW_CORES: Final = 128  # beyond, fine effects are told within a cache domain only


def predicted(layout: Layout, middles: Sequence[float], effects: Sequence[Effect]) -> list[list[float]]:
    """The latency in ns of every pair of positions; `middles` are log latencies by relation."""
    return _Prediction(_Cores(layout), middles, effects).rows()


class _Cores:
    """Cores instead of CPUs: a position of each (`heads`), all of them (`threads`), and units of alike ones.

    Cores of one unit share all levels but their core, so wide effects are the same for all of them.
    `relations[u][v]` is that of two cores of units u and v. `number[i]` is the core of position i.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        members: dict[int, list[int]] = {}
        for position, core in enumerate(layout.cores):
            members.setdefault(core, []).append(position)
        self.threads = list(members.values())
        self.heads = [threads[0] for threads in self.threads]
        place = {core: number for number, core in enumerate(members)}
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
            self.members[unit].append(number)
        ends = [(self.heads[numbers[0]], self.heads[numbers[-1]]) for numbers in self.members]
        self.relations = [[layout.relation(one, other) for _, other in ends] for one, _ in ends]


class _Prediction:
    """Factors that multiply: of two units, of a core in a relation, of a CPU, and of places in a domain."""

    def __init__(self, cores: _Cores, middles: Sequence[float], effects: Sequence[Effect]) -> None:
        self.cores, self.middles = cores, middles
        self.pairs = [effect for effect in effects if effect.kind == "pair"]
        self.wide = [effect for effect in self.pairs if not effect.is_fine]
        self.by_relation = [effect for effect in effects if effect.kind == "end_by_relation"]
        relations = range(len(cores.layout.levels) + 1)
        self.of_core = [
            [math.exp(sum(effect.of_end(head, relation) for effect in self.by_relation))
             for relation in relations]
            for head in cores.heads
        ]  # fmt: skip
        ends = [effect for effect in effects if effect.kind == "end"]
        self.has_ends = bool(ends)
        positions = range(len(cores.number))
        self.of_cpu = [math.exp(sum(effect.of_end(position) for effect in ends)) for position in positions]
        self.is_large = len(cores.heads) > _FEW_CORES
        fine_relations = cores.layout.domain_relations() if self.is_large else len(relations)
        self.fine = [(effect, effect.of_labels(fine_relations)) for effect in self.pairs if effect.is_fine]

    def rows(self) -> list[list[float]]:
        """Latencies in ns, 0 on the diagonal."""
        cores = self.cores
        expanded = itemgetter(*cores.number, 0)  # one more, so that it always makes a tuple
        rows: list[list[float]] = [[]] * len(cores.number)
        for unit, numbers in enumerate(cores.members):
            relations = [cores.relations[unit][other] for other in cores.unit]
            columns = self._columns(unit, relations)
            reached = self._reached(unit)
            for number in numbers:
                values = columns[:]
                if self.by_relation:
                    mine = map(self.of_core[number].__getitem__, relations)
                    values = list(map(mul, columns, mine))
                for other, factor in self._fine_factors(number, reached):
                    values[other] *= factor
                values[number] = self._between_threads(number)
                row = expanded(values)[:-1]
                if self.has_ends:
                    row = tuple(map(mul, row, self.of_cpu))
                for cpu in cores.threads[number]:
                    own = repeat(self.of_cpu[cpu])
                    rows[cpu] = list(map(mul, row, own) if self.has_ends else row)
                    rows[cpu][cpu] = 0.0
        return rows

    def _columns(self, unit: int, relations: Sequence[int]) -> list[float]:
        """What a core of the unit has to each core, but for what the core itself adds."""
        cores = self.cores
        one = cores.heads[cores.members[unit][0]]
        of_units = []
        for relation, numbers in zip(cores.relations[unit], cores.members, strict=True):
            other = cores.heads[numbers[-1]]
            logs = (effect.of_pair(relation, one, other) for effect in self.wide)
            of_units.append(math.exp(self.middles[relation] + sum(logs)))
        columns = map(of_units.__getitem__, cores.unit)
        if not self.by_relation:
            return list(columns)
        theirs = zip(self.of_core, relations, strict=True)
        return list(map(mul, columns, [factors[relation] for factors, relation in theirs]))

    def _reached(self, unit: int) -> tuple[list[int], list[tuple[Effect, dict[int, list[float]], list[int]]]]:
        """The cores that fine effects are told for, and where they are in each effect's table."""
        cores = self.cores
        domain = cores.domain[cores.heads[cores.members[unit][0]]]
        numbers = [
            number for number, head in enumerate(cores.heads)
            if not self.is_large or cores.domain[head] == domain
        ]  # fmt: skip
        relations = [cores.relations[unit][cores.unit[number]] for number in numbers]
        heads = [cores.heads[number] for number in numbers]
        return numbers, [(effect, table, effect.columns(relations, heads)) for effect, table in self.fine]

    def _fine_factors(
        self, number: int, reached: tuple[list[int], list[tuple[Effect, dict[int, list[float]], list[int]]]]
    ) -> list[tuple[int, float]]:
        """Cores, and by what the places of this core and theirs multiply."""
        numbers, tables = reached
        logs = [0.0] * len(numbers)
        for effect, table, columns in tables:
            if (of_head := table.get(effect.labels[self.cores.heads[number]])) is not None:
                logs = list(map(add, logs, map(of_head.__getitem__, columns)))
        return list(zip(numbers, map(math.exp, logs), strict=True))

    def _between_threads(self, number: int) -> float:
        """Of two threads of a core, but for what the CPUs add; of a single thread to itself nobody asks."""
        one, other = self.cores.threads[number][0], self.cores.threads[number][-1]
        if one == other:
            return 0.0
        relation = self.cores.layout.relation(one, other)
        logs = self.middles[relation] + sum(effect.of_pair(relation, one, other) for effect in self.pairs)
        return math.exp(logs) * self.of_core[number][relation] ** 2
