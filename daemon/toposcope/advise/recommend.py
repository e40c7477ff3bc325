"""The advice itself: `recommend(request, evidence)`, a pure function.

Cost models, each in its own module: all share (`nearest`), some talk (`mapping`), nobody talks (`spread`);
pairs not measured are filled in by `smooth`; the default to beat is in `gain`; the model in `models`; trust
in `trust`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from toposcope.advise.answer import EvidenceUsed, MemoryPolicy, Placement, Recommendation, Verb
from toposcope.advise.candidates import candidates, choose_cores
from toposcope.advise.choose import Choice, choose_apart, choose_mapped, choose_near, talks
from toposcope.advise.costs import PairCosts, pair_costs
from toposcope.advise.facts import Evidence, OneCpuGain
from toposcope.advise.gain import Gain, default_costs, gain_over_default
from toposcope.advise.launchers import all_commands
from toposcope.advise.models import ModelChoice, choose_model
from toposcope.advise.one_cpu import PROBE, is_question, least_gain, on_one_cpu
from toposcope.advise.request import Request
from toposcope.advise.spread import Memory
from toposcope.advise.trust import trust, trust_in_measured_gain
from toposcope.errors import ContradictionError

_LEAST_GAIN: Final = 0.02  # less than this is not worth a command line
_LEAVE: Final = "leave it as it is"
_MEASURE_FIRST: Final = {
    "live": "`toposcope recommend --measure` does it",
    "replay": "`toposcope matrix --measure --format csv` there, then --matrix FILE.csv here",
}

_NEVER_CONSIDERED: Final = (
    "interrupts, devices and network cards: where they are attached is not looked at",
    "power and frequency limits that many busy cores share",
    "your program itself: `toposcope tune` tries the placements on it",
)


def recommend(request: Request, evidence: Evidence, command: Sequence[str] = ("COMMAND",)) -> Recommendation:
    """Ranked placements for the request; `command` is what the launchers' lines start.

    Raises UsageError where the request can't be met on this machine.
    """
    chosen_from = candidates(request, evidence)
    costs = pair_costs(evidence, chosen_from.cpus, rows_wanted=talks(request))
    cores = choose_cores(request, costs.layout, evidence.machine_is_declared)
    memory = _memory(request, evidence, costs.layout.cpus)
    if talks(request) and not request.communication and request.sharing == "shared":
        choices = choose_near(request, costs, cores)
    elif talks(request):
        choices = choose_mapped(request, costs, cores)
    else:
        speeds = _speeds(evidence, costs.layout.cpus)
        choices = choose_apart(request, costs, cores, memory if request.bound == "memory" else None, speeds)
    # What has one process doesn't depend on how many nodes and domains its CPUs are from.
    alone = on_one_cpu(request, evidence, choose_model(request, evidence, 1, 1).model, choices[0])
    choices = choices if alone is None else [alone]
    gains = _gains(costs, choices)
    advice, why = _verdict(request, evidence, costs, choices[0], gains[0])
    placements = tuple(
        _placement(request, evidence, costs, choice, gain, (*why, *chosen_from.reasons) if rank == 0 else ())
        for rank, (choice, gain) in enumerate(zip(choices, gains, strict=True))
    )
    placements = tuple(_with_commands(placement, evidence, command) for placement in placements)
    return Recommendation(
        evidence.mode, evidence.source, request, advice, placements, _not_considered(request, evidence, costs)
    )


def _memory(request: Request, evidence: Evidence, cpus: Sequence[int]) -> Memory | None:
    """What is known of the nodes. Raises UsageError where the workers' memory can't fit at all."""
    machine = evidence.machine
    free = dict(evidence.load.free_memory_bytes) if evidence.load else {}
    sizes = {node.id: free.get(node.id, node.memory_bytes) for node in machine.numa_nodes}
    capacity = {}
    if request.memory_bytes_per_worker is not None:
        capacity = {node: size // request.memory_bytes_per_worker
                    for node, size in sizes.items() if size is not None}  # fmt: skip
        if sizes and None not in sizes.values() and sum(capacity.values()) < request.workers:
            raise ContradictionError(
                f"{request.workers} workers of {request.memory_bytes_per_worker} bytes don't fit into the "
                f"{sum(size or 0 for size in sizes.values())} bytes of memory there are",
                "ask for fewer workers or less memory a worker",
            )
    local = evidence.node_costs
    return Memory(
        [machine.node_of(cpu) for cpu in cpus],
        {a: ns for (a, b), ns in local.latency_ns.items() if a == b} if local else {},
        {a: rate for (a, b), rate in local.bandwidth_bytes_per_s.items() if a == b} if local else {},
        local.cpu_bandwidth_bytes_per_s if local else None,
        capacity,
    )


def _speeds(evidence: Evidence, cpus: Sequence[int]) -> list[float]:
    capacities = dict(evidence.machine.cpu_capacities)
    return [capacities.get(cpu, 1024) / 1024 for cpu in cpus]


def _gains(costs: PairCosts, choices: Sequence[Choice]) -> list[Gain | None]:
    """Of each choice; those that cost alike are held against the same random placements."""
    defaults: dict[object, list[float]] = {}
    gains: list[Gain | None] = []
    for choice in choices:
        if choice.measured_gain is not None:
            gains.append(choice.measured_gain)
            continue
        if choice.cost is None or (choice.is_latency and costs.basis == "declared"):
            gains.append(None)
            continue
        count = len(choice.positions)
        if (choice.cost, count) not in defaults:
            defaults[choice.cost, count] = default_costs(costs.layout.cores, count, choice.cost)
        best = choice.cost(choice.positions)
        gains.append(gain_over_default(best, defaults[choice.cost, count], costs.error_ratio))
    return gains


def _verdict(
    request: Request, evidence: Evidence, costs: PairCosts, choice: Choice, gain: Gain | None
) -> tuple[Verb, tuple[str, ...]]:
    """Whether to place at all, and why not."""
    if choice.measured_gain is not None:
        return "place", ()
    if evidence.placement == "unstable":
        return "leave", (f"{_LEAVE}: the measured distances change while the machine runs",)
    if choice.is_latency and costs.basis == "declared" and talks(request):
        return "leave", (f"{_LEAVE} until something was measured: {_MEASURE_FIRST[evidence.mode]}",)
    model = choose_model(request, evidence, 1, 1).model
    if is_question(request, model) and least_gain(evidence, model) is None:
        why = f"whether one CPU answers more was not measured: {_MEASURE_FIRST['live']}"
        return "leave", (f"{_LEAVE}: {why}",)
    if gain is None:
        why = "the scheduler spreads such work by itself, and nothing measured shows a gain"
        return "leave", (f"{_LEAVE}: {why}",)
    if gain.ratio < 1 + max(_LEAST_GAIN, costs.error_ratio):
        why = f"a random placement costs only {gain.ratio:.3f} times as much, which is within the error"
        return "leave", (f"{_LEAVE}: {why}",)
    if request.bound == "io":
        why = "work that waits for input and output seldom waits for other CPUs; the model matters more"
        return "leave", (f"{_LEAVE}: {why}",)
    return "place", ()


def _placement(
    request: Request, evidence: Evidence, costs: PairCosts, choice: Choice, gain: Gain | None,
    first_reasons: Sequence[str],
) -> Placement:  # fmt: skip
    layout = costs.layout
    cpus = tuple(layout.cpus[position] for position in choice.positions)
    nodes = tuple(sorted({node for cpu in cpus if (node := evidence.machine.node_of(cpu)) is not None}))
    domains = layout.place_in_domain()[0]
    model = choose_model(request, evidence, len(nodes), len({domains[at] for at in choice.positions}))
    policy, policy_reasons = _memory_policy(request, evidence, nodes)
    others = [model.confidence**0.5]
    one_cpu = least_gain(evidence, model.model) if is_question(request, model.model) else None
    if choice.measured_gain is not None and one_cpu is not None:
        believed = trust_in_measured_gain(one_cpu.age_s, others)
    else:
        believed = trust(evidence, costs if choice.is_latency and talks(request) else None, others)
    reasons = (*first_reasons, *choice.reasons, *_why_gain(choice, gain), *policy_reasons, *model.reasons)
    measured = choice.cost is not None and choice.is_latency and costs.basis != "declared"
    return Placement(
        cpus=cpus, nodes=nodes, workers=len(cpus), model=model.model, memory_policy=policy,
        expected_gain_ratio=gain.ratio if gain else None,
        interval=(gain.low, gain.high) if gain else None,
        cost_ns=choice.cost(choice.positions) if measured and choice.cost else None,
        confidence=believed.confidence,
        reasons=(*reasons, *believed.reasons),
        evidence=(*_evidence_used(evidence, costs, model), *_of_one_cpu(request, model, one_cpu)),
    )  # fmt: skip


def _why_gain(choice: Choice, gain: Gain | None) -> tuple[str, ...]:
    if gain is None or choice.measured_gain is not None:
        return ()
    what = "latency between the workers" if choice.is_latency else "memory time"
    default = (
        f"expected {what} under the scheduler's default (random idle cores): {gain.ratio:.2f} times this"
    )
    within = f"{gain.low:.2f} to {gain.high:.2f} in nine of ten cases"
    return (f"{default}, {within}; your program gains less than that",)


def _memory_policy(
    request: Request, evidence: Evidence, nodes: Sequence[int]
) -> tuple[MemoryPolicy, tuple[str, ...]]:
    if len(evidence.machine.numa_nodes) < 2 or not nodes:
        return "default", ()
    if len(nodes) == 1 and _fits(request, evidence, nodes[0]):
        return "bind", (f"by the declared topology all of them are on node {nodes[0]}: take its memory",)
    if len(nodes) > 1 and talks(request) and request.bound == "memory":
        return "interleave", (
            f"nodes {', '.join(map(str, nodes))} are all used: spread shared pages over them",
        )
    return "local", ("memory from the node of the CPU that asks first",)


def _fits(request: Request, evidence: Evidence, node: int) -> bool:
    if request.memory_bytes_per_worker is None:
        return True
    declared = next((one.memory_bytes for one in evidence.machine.numa_nodes if one.id == node), None)
    free = evidence.load.free_memory_bytes.get(node, declared) if evidence.load else declared
    return free is None or free >= request.workers * request.memory_bytes_per_worker


def _evidence_used(evidence: Evidence, costs: PairCosts, model: ModelChoice) -> tuple[EvidenceUsed, ...]:
    share = f"{costs.measured_ratio:.1%} of the pairs of {len(costs.layout.cpus)} CPUs"
    used = [EvidenceUsed("topology", "declared" if evidence.machine_is_declared else "absent")]
    if costs.basis == "declared":
        used.append(EvidenceUsed("pair latencies", "absent", None, "no pair has one steady measured latency"))
    else:
        used.append(EvidenceUsed("pair latencies", costs.basis, evidence.age_s, share))
    if evidence.node_costs is not None:
        used.append(EvidenceUsed("node latency and bandwidth", "measured", evidence.age_s))
    used += [EvidenceUsed(f"claim {what}", "absent") for what in model.not_measured]
    return tuple(used)


def _of_one_cpu(request: Request, model: ModelChoice, gain: OneCpuGain | None) -> tuple[EvidenceUsed, ...]:
    if not is_question(request, model.model):
        return ()
    what = f"{PROBE}, {model.model}"
    if gain is None:
        return (EvidenceUsed(what, "absent"),)
    detail = f"one CPU is {gain.ratio:.2f} ({gain.low:.2f} to {gain.high:.2f}) times as good as all"
    return (EvidenceUsed(what, "measured", gain.age_s, detail),)


def _with_commands(placement: Placement, evidence: Evidence, command: Sequence[str]) -> Placement:
    return replace(placement, commands=all_commands(placement, evidence.machine, command))


def _not_considered(request: Request, evidence: Evidence, costs: PairCosts) -> tuple[str, ...]:
    notes = []
    if evidence.load is None or not evidence.load.cpus_are_known:
        notes.append("what else runs on the machine now")
    if evidence.node_costs is None and len(evidence.machine.numa_nodes) > 1:
        notes.append("memory latency and bandwidth of the nodes: not measured")
    if not evidence.machine_is_declared:
        notes.append("packages, caches and nodes: only a matrix was given")
    if request.sharing == "isolated" and not request.communication and costs.basis != "declared":
        notes.append("the latencies between CPUs: the workers don't talk")
    return (*notes, *_NEVER_CONSIDERED)
