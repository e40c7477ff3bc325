"""What can be said of a running process's placement: where it runs, what that costs, what would be better.

Pure: the process was watched, and the evidence gathered, by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from toposcope import audit
from toposcope.advise.answer import Recommendation
from toposcope.advise.facts import Evidence
from toposcope.advise.recommend import recommend
from toposcope.advise.request import MAX_WORKERS, Request, Sharing
from toposcope.audit import Finding, Usage
from toposcope.errors import UsageError
from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.model import RELATIONS, Machine, Partition
from toposcope.topology.processes import Process
from toposcope.units import format_bytes, format_ns

_THREADS_SHOWN_MAX: Final = 32
_NOT_ENOUGH: Final = (
    "what each of its threads works on: say --sharing isolated or pipeline if it isn't shared"
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer. `pair_latency_ns` is the mean over the pairs of CPUs where busy threads were seen.

    `remote_latency_ratio` is how much slower the memory is on average than if all of it were near; both are
    None where nothing was measured. `better` is None where there is nothing to advise, `unseen` says why.
    """

    pid: int
    name: str
    source: str
    allowed_cpus: tuple[int, ...] | None
    threads: int
    usage: Usage
    ran_on: dict[str, int]
    widest_relation: str | None
    pair_latency_ns: float | None
    remote_latency_ratio: float | None
    findings: tuple[Finding, ...]
    better: Recommendation | None
    unseen: tuple[str, ...]


def explain(
    process: Process, usage: Usage, evidence: Evidence, unseen: Sequence[str], sharing: Sharing = "shared"
) -> Explanation:
    """Judge one process that was watched; `sharing` is what its threads have in common."""
    machine = evidence.machine
    better, why_not = _better(process, usage, evidence, sharing)
    latency_ns = _pair_latency_ns(usage.cpus, evidence)
    notes = [*process.unseen, *unseen, *why_not]
    if len(usage.cpus) > 1 and latency_ns is None:
        notes.append("what the distances cost: no pair of these CPUs was measured")
    if len(usage.busy_threads) > 1:
        notes.append(_NOT_ENOUGH)
    return Explanation(
        pid=process.pid, name=process.name, source=evidence.source, allowed_cpus=process.allowed_cpus,
        threads=len(process.threads), usage=usage, ran_on=_ran_on(usage.cpus, machine),
        widest_relation=_widest_relation(usage.cpus, machine), pair_latency_ns=latency_ns,
        remote_latency_ratio=_remote_latency_ratio(usage, evidence),
        findings=audit.judge(usage, machine), better=better, unseen=tuple(notes),
    )  # fmt: skip


def text(explanation: Explanation) -> str:
    """The answer for people."""
    usage = explanation.usage
    busy = len(usage.busy_threads)
    allowed = "unknown" if explanation.allowed_cpus is None else format_cpulist(explanation.allowed_cpus)
    lines = [
        f"{explanation.name} ({explanation.pid}): {_threads(explanation.threads)}, {busy} of them busy",
        f"may run on: CPUs {allowed}",
    ]
    for thread in usage.busy_threads[:_THREADS_SHOWN_MAX]:
        where = format_cpulist(thread.cpus)
        lines.append(f"  {thread.tid} {thread.name}: {thread.busy_ratio:.0%} of a CPU, seen on CPUs {where}")
    if busy > _THREADS_SHOWN_MAX:
        lines.append(f"  … and {busy - _THREADS_SHOWN_MAX} more")
    lines += [*_where(explanation), *_costs(explanation)]
    lines += [f"finding: {each.check}: {each.sentence}" for each in explanation.findings]
    lines += [*_advice(explanation), *(f"not seen: {note}" for note in explanation.unseen)]
    return "\n".join([*lines, f"source: {explanation.source}"])


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _where(explanation: Explanation) -> list[str]:
    lines = []
    if explanation.usage.cpus:
        parts = ", ".join(f"{name}: {count}" for name, count in explanation.ran_on.items())
        lines.append(f"ran on: CPUs {format_cpulist(explanation.usage.cpus)} ({parts})")
    if memory := explanation.usage.memory_bytes_by_node:
        lines.append(
            "memory: " + ", ".join(f"node {node}: {format_bytes(size)}" for node, size in memory.items())
        )
    return lines


def _costs(explanation: Explanation) -> list[str]:
    lines = []
    if explanation.pair_latency_ns is not None:
        what = f"{format_ns(explanation.pair_latency_ns)} on average between these CPUs"
        lines.append(f"cost: {what}, the widest relation is {explanation.widest_relation}")
    if explanation.remote_latency_ratio is not None:
        ratio = explanation.remote_latency_ratio
        lines.append(f"cost: its memory is {ratio:.2f} times as slow as if all of it were near")
    return lines


def _advice(explanation: Explanation) -> list[str]:
    better = explanation.better
    if better is None:
        return []
    first = better.placements[0]
    if better.advice == "leave":
        return [f"better: {first.reasons[0]}"]
    cost = "" if first.cost_ns is None else f", {format_ns(first.cost_ns)} on average"
    now = set(explanation.usage.cpus)
    if set(first.cpus) >= now and len(now) > 1:
        return [
            f"better: nothing; it runs where the advice would put it (CPUs {format_cpulist(sorted(now))})"
        ]
    return [
        f"better: CPUs {format_cpulist(sorted(first.cpus))}{cost}, confidence {first.confidence:.0%}",
        *(f"  - {reason}" for reason in first.reasons),
    ]


def _better(
    process: Process, usage: Usage, evidence: Evidence, sharing: Sharing
) -> tuple[Recommendation | None, list[str]]:
    """Advice for as many workers as threads are busy, on the CPUs that it or the caller may use."""
    workers = min(len(usage.busy_threads), MAX_WORKERS)
    if workers == 0:
        return None, [
            "what would be better: it did next to nothing while it was watched; --watch-s watches longer"
        ]
    machine = evidence.machine
    allowed = {*machine.usable_cpus, *(process.allowed_cpus or ())} & set(machine.online_cpus)
    machine = replace(machine, allowed_cpus=tuple(sorted(allowed)))
    request = Request(workers=min(workers, len(allowed)), sharing=sharing)
    try:
        return recommend(request, replace(evidence, machine=machine)), []
    except UsageError as refusal:
        return None, [f"what would be better: {refusal.message}"]


def _ran_on(cpus: Sequence[int], machine: Machine) -> dict[str, int]:
    """How many packages, L3 domains, nodes and cores it was seen on, where they are known."""
    nodes = tuple(node.cpus for node in machine.numa_nodes if node.cpus)
    kinds: dict[str, Partition | None] = {
        "packages": machine.packages, "nodes": nodes, "L3 domains": machine.cache_partition(3),
        "cores": machine.cores,
    }  # fmt: skip
    return {name: sum(1 for group in partition if set(group) & set(cpus))
            for name, partition in kinds.items() if partition}  # fmt: skip


def _widest_relation(cpus: Sequence[int], machine: Machine) -> str | None:
    found = [machine.relation(cpu, other) for index, cpu in enumerate(cpus) for other in cpus[:index]]
    return max(found, key=RELATIONS.index, default=None)


def _pair_latency_ns(cpus: Sequence[int], evidence: Evidence) -> float | None:
    if evidence.matrix is None:
        return None
    values = [evidence.matrix.value(cpu, other) for index, cpu in enumerate(cpus) for other in cpus[:index]]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _remote_latency_ratio(usage: Usage, evidence: Evidence) -> float | None:
    """Measured latency of its pages, by where its busy threads ran, over the nearest node's."""
    memory, costs = usage.memory_bytes_by_node, evidence.node_costs
    if not memory or costs is None:
        return None
    slow = near = 0.0
    for cpu, seen in usage.seen_on.items():
        node = evidence.machine.node_of(cpu)
        best = None if node is None else costs.latency_ns.get((node, node))
        for memory_node, size in memory.items():
            latency = None if node is None else costs.latency_ns.get((node, memory_node))
            if latency is None or best is None:
                return None
            slow += seen * size * latency
            near += seen * size * best
    return slow / near if near else None
