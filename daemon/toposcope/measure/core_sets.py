"""Named selections of CPUs: `compact:4` close together, `spread:4` far apart; pure.

Both use each core once before they use a second SMT thread of any, so that equal sizes stay comparable:
what differs is where the cores are, not how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from toposcope.topology.model import Machine, Partition


def core_sets(machine: Machine, cpus: Iterable[int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The core sets of `cpus` by name: sizes 2, 4, 8, … and all; `spread` only where it differs.

    CPUs come in the order in which they should be taken.
    """
    usable = sorted(cpus)
    near = compact_order(machine, usable)
    far = spread_order(machine, usable)
    found: list[tuple[str, tuple[int, ...]]] = []
    for size in _sizes(len(usable)):
        found.append((f"compact:{size}", tuple(near[:size])))
        if set(far[:size]) != set(near[:size]):
            found.append((f"spread:{size}", tuple(far[:size])))
    return tuple(found)


def _sizes(count: int) -> list[int]:
    sizes, size = [], 2
    while size < count:
        sizes.append(size)
        size *= 2
    return [*sizes, count] if count >= 2 else []


def compact_order(machine: Machine, cpus: Sequence[int]) -> list[int]:
    """CPUs so that each next one is as near as possible: package by package, first threads first."""
    rank = _smt_rank(machine, cpus)
    places = _places(machine)
    return sorted(
        cpus, key=lambda cpu: (places[0](cpu), rank[cpu], *(place(cpu) for place in places[1:]), cpu)
    )


def spread_order(machine: Machine, cpus: Sequence[int]) -> list[int]:
    """CPUs so that each next one is as far as possible: packages by turns, inside them nodes, L3 domains."""
    rank = _smt_rank(machine, cpus)
    by_rank: dict[int, list[int]] = {}
    for cpu in cpus:
        by_rank.setdefault(rank[cpu], []).append(cpu)
    places = _places(machine)
    order: list[int] = []
    for smt_rank in sorted(by_rank):
        order += _take_turns(by_rank[smt_rank], places)
    return order


def _take_turns(cpus: Sequence[int], places: Sequence[_Place]) -> list[int]:
    if not places:
        return sorted(cpus)
    groups: dict[int, list[int]] = {}
    for cpu in cpus:
        groups.setdefault(places[0](cpu), []).append(cpu)
    queues = [_take_turns(groups[key], places[1:]) for key in sorted(groups)]
    longest = max(map(len, queues))
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


class _Place:
    """The index of the set that holds a CPU, -1 where none does."""

    def __init__(self, partition: Partition | None) -> None:
        self._index = {cpu: index for index, cpus in enumerate(partition or ()) for cpu in cpus}

    def __call__(self, cpu: int) -> int:
        return self._index.get(cpu, -1)


def _places(machine: Machine) -> tuple[_Place, ...]:
    nodes = tuple(sorted(node.cpus for node in machine.numa_nodes if node.cpus))
    return tuple(
        _Place(partition)
        for partition in (
            machine.packages,
            nodes,
            machine.dies,
            machine.cache_partition(3),
            machine.clusters,
            machine.cache_partition(2),
        )
    )


def _smt_rank(machine: Machine, cpus: Iterable[int]) -> dict[int, int]:
    """0 for the first usable thread of a core, 1 for the second, …"""
    rank = dict.fromkeys(cpus, 0)
    for core in machine.cores or ():
        for position, cpu in enumerate(cpu for cpu in core if cpu in rank):
            rank[cpu] = position
    return rank
