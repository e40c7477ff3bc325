"""Which processes run spread out or far from their memory without need; pure judging of what was seen.

A process straddles where its busy threads ran in several packages (or L3 domains) at one time although one
of them has a core for each. It is far from its memory where most of that lies on nodes on which none of its
busy threads ran. Both are findings, not faults: interleaving on purpose looks the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from toposcope.topology.model import Machine, Partition
from toposcope.topology.processes import Process
from toposcope.units import format_bytes

Check = Literal["straddles_packages", "straddles_l3_domains", "memory_far"]
CHECKS: Final[tuple[Check, ...]] = get_args(Check)

# A thread is busy where it had this share of a CPU while it was watched.
BUSY_THREAD_RATIO: Final = 0.1
# Less than this share of the samples outside the main domain is a migration, not a habit.
_OUTSIDE_RATIO_MIN: Final = 0.2
_FAR_RATIO_MIN: Final = 0.5
_FAR_BYTES_MIN: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class BusyThread:
    """A thread that used CPU time while it was watched: how much, in CPUs, and where it was seen."""

    tid: int
    name: str
    busy_ratio: float
    cpus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """A process over a short watch. `memory_bytes_by_node` is None where it wasn't or can't be looked at."""

    pid: int
    name: str
    busy_threads: tuple[BusyThread, ...]
    seen_on: Mapping[int, int]
    memory_bytes_by_node: Mapping[int, int] | None = None

    @property
    def cpus(self) -> tuple[int, ...]:
        """Where its busy threads were seen, ascending."""
        return tuple(sorted(self.seen_on))


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about one process; `evidence` holds the numbers that the sentence speaks of."""

    check: Check
    pid: int
    name: str
    sentence: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    hint: str = ""


def usage_of(
    snapshots: Sequence[Process], duration_s: float, memory_bytes_by_node: Mapping[int, int] | None = None
) -> Usage:
    """What several snapshots of one process, `duration_s` from first to last, say of its busy threads."""
    assert len(snapshots) > 1, "busy is a difference"
    first = {thread.tid: thread.cpu_s for thread in snapshots[0].threads}
    seen: dict[int, list[int]] = {}
    for thread in (each for shot in snapshots[1:] for each in shot.threads):
        seen.setdefault(thread.tid, []).append(thread.cpu)
    busy, seen_on = [], Counter[int]()
    for thread in snapshots[-1].threads:
        ratio = (thread.cpu_s - first.get(thread.tid, 0.0)) / duration_s
        if ratio < BUSY_THREAD_RATIO:
            continue
        seen_on.update(seen[thread.tid])
        busy.append(BusyThread(thread.tid, thread.name, ratio, tuple(sorted(set(seen[thread.tid])))))
    busy.sort(key=lambda each: (-each.busy_ratio, each.tid))
    last = snapshots[-1]
    return Usage(last.pid, last.name, tuple(busy), dict(sorted(seen_on.items())), memory_bytes_by_node)


def judge(usage: Usage, machine: Machine) -> tuple[Finding, ...]:
    """What is to be said about one process."""
    found = _straddling(usage, machine, machine.packages, "straddles_packages", "packages")
    if found is None:
        domains = machine.cache_partition(3)
        found = _straddling(usage, machine, domains, "straddles_l3_domains", "L3 domains")
    far = _far(usage, machine)
    return tuple(finding for finding in (found, far) if finding is not None)


def _straddling(
    usage: Usage, machine: Machine, partition: Partition | None, check: Check, what: str
) -> Finding | None:
    threads = len(usage.busy_threads)
    samples = [sum(usage.seen_on.get(cpu, 0) for cpu in cpus) for cpus in partition or ()]
    used = [count for count in samples if count]
    if threads < 2 or len(used) < 2 or 1 - max(used) / sum(used) < _OUTSIDE_RATIO_MIN:
        return None
    room = max(_cores_in(machine, cpus) for cpus in partition or ())
    if threads > room:
        return None
    sentence = (
        f"{threads} busy threads ran in {len(used)} {what} on CPUs {','.join(map(str, usage.cpus))}, "
        f"and would fit into one of {room} cores"
    )
    evidence = {"busy_threads": threads, "cpus": usage.cpus, "cores_in_one": room}
    hint = f"if they share data: `toposcope explain {usage.pid}` says what it costs and what would be better"
    return Finding(check, usage.pid, usage.name, sentence, evidence, hint)


def _cores_in(machine: Machine, cpus: Sequence[int]) -> int:
    inside = set(cpus)
    return sum(1 for core in machine.cores or () if inside & set(core)) or len(inside)


def _far(usage: Usage, machine: Machine) -> Finding | None:
    memory = usage.memory_bytes_by_node
    near = {machine.node_of(cpu) for cpu in usage.cpus} - {None}
    total = sum((memory or {}).values())
    if memory is None or not near or total < _FAR_BYTES_MIN:
        return None
    far = {node: size for node, size in memory.items() if node not in near}
    ratio = sum(far.values()) / total
    if ratio < _FAR_RATIO_MIN:
        return None
    nodes = ", ".join(map(str, sorted(node for node in near if node is not None)))
    sentence = (
        f"{ratio:.0%} of its {format_bytes(total)} lie on nodes {', '.join(map(str, sorted(far)))}, while "
        f"its busy threads ran on nodes {nodes}"
    )
    evidence = {"far_ratio": round(ratio, 4), "memory_bytes_by_node": dict(memory), "cpus": usage.cpus}
    hint = "start it bound to one node (`toposcope run`), or let NUMA balancing move the pages"
    return Finding("memory_far", usage.pid, usage.name, sentence, evidence, hint)
