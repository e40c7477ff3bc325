"""Where workers go that don't talk to each other: apart, so that each has most cache and memory bandwidth.

A worker of a memory-bound program takes, relative to the best place when alone,

    latency(node) / least latency · max(1, workers on the node · bandwidth of a CPU / bandwidth of the node),

which is the roofline of one resource (S. Williams, A. Waterman, D. Patterson, CACM 52(4), 2009). The sum
over all workers is convex in the number on each node, and nodes don't touch each other, so always taking
the CPU that adds least is optimal (B. Fox, "Discrete optimization via marginal analysis", Management
Science 13, 1966). Among equals: an idle core before a busy core's second thread, faster cores first, then
the emptier cache domain, cluster and package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toposcope.advise.layout import Layout


@dataclass(frozen=True)
class Memory:
    """What memory offers, by node; nodes that are absent were not measured.

    `node_of[i]` is the node of position i (None: unknown). `capacity` limits the workers of a node whose
    memory is to be local (absent: no limit).
    """

    node_of: Sequence[int | None]
    latency_ns: Mapping[int, float] = field(default_factory=dict)
    bandwidth_bytes_per_s: Mapping[int, float] = field(default_factory=dict)
    cpu_bandwidth_bytes_per_s: float | None = None
    capacity: Mapping[int, int] = field(default_factory=dict)

    def node_time(self, node: int | None, workers: int) -> float:
        """The summed relative time of `workers` on that node; each counts 1 where nothing was measured."""
        if node is None or workers == 0:
            return float(workers)
        least = min(self.latency_ns.values(), default=1.0)
        slower = self.latency_ns.get(node, least) / least
        bandwidth, of_cpu = self.bandwidth_bytes_per_s.get(node), self.cpu_bandwidth_bytes_per_s
        crowding = max(1.0, workers * of_cpu / bandwidth) if bandwidth and of_cpu else 1.0
        return workers * slower * crowding

    def saturating_workers(self, node: int) -> int | None:
        """How many workers take all of a node's bandwidth, or None where it was not measured."""
        bandwidth, of_cpu = self.bandwidth_bytes_per_s.get(node), self.cpu_bandwidth_bytes_per_s
        return max(1, round(bandwidth / of_cpu)) if bandwidth and of_cpu else None


def memory_time(memory: Memory, chosen: Sequence[int]) -> float:
    """The mean relative time of memory-bound workers at these positions."""
    nodes = Counter(memory.node_of[cpu] for cpu in chosen)
    return sum(memory.node_time(node, workers) for node, workers in nodes.items()) / len(chosen)


def spread_out(
    layout: Layout, groups: Sequence[int], count: int, memory: Memory | None, speeds: Sequence[float]
) -> list[int] | None:
    """`count` positions for workers on their own, best first; None where the nodes' memory is too small.

    Of each group at most one. `memory` is given for memory-bound work; `speeds[i]` is the relative speed of
    position i (1 where unknown).
    """
    nodes = memory.node_of if memory is not None else [None] * len(layout.cpus)
    zones = _Zones(layout, groups, speeds, nodes)
    chosen: list[int] = []
    on_node: Counter[int | None] = Counter()
    while len(chosen) < count:
        heads = zones.heads()
        if memory is not None:
            heads = [cpu for cpu in heads if _has_room(memory, cpu, on_node)]
        if not heads:
            return None
        best = min(heads, key=lambda cpu: (_added_time(memory, cpu, on_node), *zones.crowd(cpu)))
        zones.take(best)
        chosen.append(best)
        if memory is not None:
            on_node[memory.node_of[best]] += 1
    return chosen


def _has_room(memory: Memory, cpu: int, on_node: Counter[int | None]) -> bool:
    node = memory.node_of[cpu]
    return node is None or node not in memory.capacity or on_node[node] < memory.capacity[node]


def _added_time(memory: Memory | None, cpu: int, on_node: Counter[int | None]) -> float:
    if memory is None:
        return 0.0
    node = memory.node_of[cpu]
    added = memory.node_time(node, on_node[node] + 1) - memory.node_time(node, on_node[node])
    return round(added, 9)  # equal nodes must compare as equal


class _Zones:
    """The free positions of each cache domain, and how many workers each level holds already.

    Free positions of one domain, node, speed and thread number are alike but for their cluster, so they stand
    in a queue that goes round the clusters, and only its first is looked at.
    """

    def __init__(
        self, layout: Layout, groups: Sequence[int], speeds: Sequence[float], nodes: Sequence[int | None]
    ) -> None:
        self._layout = layout
        self._speeds = speeds
        self._busy: Counter[int] = Counter()
        self._levels = layout.levels[::-1]  # wide ones first
        self._counts = [Counter[int]() for _ in self._levels]
        self._sizes = [Counter(level.labels) for level in self._levels]
        self._queues: dict[tuple[int, int | None, float, int], list[int]] = {}
        domain = layout.place_in_domain()[0]
        ranks = _numbered(layout.cores)
        for cpu, rank in enumerate(ranks):
            if rank == 0 or len(set(groups)) == len(groups):
                self._queues.setdefault((domain[cpu], nodes[cpu], -speeds[cpu], rank), []).append(cpu)
        for queue in self._queues.values():
            self._go_round_clusters(queue)

    def _go_round_clusters(self, queue: list[int]) -> None:
        """Order it for `pop`: the first of every cluster, then the second of every one, …"""
        inside = [level for level in self._layout.levels if level.labels != self._layout.cores]
        labels = inside[0].labels if inside else self._layout.cores
        turns = dict(zip(queue, _numbered([labels[cpu] for cpu in queue]), strict=True))
        queue.sort(key=lambda cpu: (turns[cpu], cpu), reverse=True)

    def heads(self) -> list[int]:
        """The next free position of each queue."""
        return [queue[-1] for queue in self._queues.values() if queue]

    def crowd(self, cpu: int) -> tuple[float, ...]:
        """Smaller is better: workers on its core, slowness, then the share of its levels in use."""
        used = (
            counts[level.labels[cpu]] / sizes[level.labels[cpu]]
            for level, counts, sizes in zip(self._levels, self._counts, self._sizes, strict=True)
        )
        return (self._busy[self._layout.cores[cpu]], -self._speeds[cpu], *used, cpu)

    def take(self, cpu: int) -> None:
        """A worker goes there; `cpu` is the first of its queue."""
        next(queue for queue in self._queues.values() if queue and queue[-1] == cpu).pop()
        self._busy[self._layout.cores[cpu]] += 1
        for level, counts in zip(self._levels, self._counts, strict=True):
            counts[level.labels[cpu]] += 1


def _numbered(labels: Sequence[int]) -> list[int]:
    """How many equal labels stand before each."""
    seen: Counter[int] = Counter()
    numbers = []
    for label in labels:
        numbers.append(seen[label])
        seen[label] += 1
    return numbers
