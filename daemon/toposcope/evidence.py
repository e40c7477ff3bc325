"""From the view to the evidence that advice rests on; the time is handed in."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Final

from toposcope import replay, report
from toposcope.advise import one_cpu
from toposcope.advise.facts import Evidence, Load, NodeCosts, OneCpuGain
from toposcope.advise.matrix_only import with_cores_shown
from toposcope.judgements import ClaimStanding
from toposcope.matrix import Matrix
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.results import Result
from toposcope.view import View

# Of the operations whose bandwidth is measured the one that most work does most of.
_BANDWIDTH_OPERATION: Final = "read"
_DEVIATIONS_OF_95: Final = 1.96


def evidence_of(
    view: View, now_s: float, source: str, free_memory_bytes: Mapping[int, int] | None = None
) -> Evidence:
    """What a view knows; `now_s` is the wall clock, the age that of the oldest pair that is used.

    `free_memory_bytes` by node is what the machine's nodes have left now, where the caller looked.
    """
    matrix = view.matrix(MATRIX_PROBE)
    is_bare = replay.is_bare(view.machine)
    times = [result.last_time_s for result in view.results if result.identity.probe == MATRIX_PROBE]
    visited = [(result.identity, view.visits(result.identity.id)) for result in view.results]
    judged = report.judged(visited, view.machine)
    return Evidence(
        with_cores_shown(view.machine, matrix) if is_bare else view.machine,
        machine_is_declared=not is_bare,
        matrix=matrix if has_cells(matrix) else None,
        matrix_error_ratio=_error_ratio(view),
        node_costs=_node_costs(view),
        claims=tuple(ClaimStanding(one.claim, one.verdict, one.ratio, one.interval) for one in judged),
        one_cpu_gains=_one_cpu_gains(view, now_s),
        load=_load(view, free_memory_bytes or {}),
        mode=view.mode,
        source=source,
        age_s=max(0.0, now_s - min(times)) if times else None,
        placement=view.placement,
    )


def _one_cpu_gains(view: View, now_s: float) -> tuple[OneCpuGain, ...]:
    """From sound results, or noisy ones with their interval."""
    return tuple(
        OneCpuGain(
            one_cpu.MODELS[result.identity.variant["model"]], result.identity.target.interpreter or "",
            value.estimate, value.low, value.high, max(0.0, now_s - result.last_time_s),
        )
        for result in view.results
        if result.identity.probe == one_cpu.PROBE and result.verdict in ("ok", "noisy")
        and (value := result.measures.get(result.primary)) is not None
    )  # fmt: skip


def _load(view: View, free_memory_bytes: Mapping[int, int]) -> Load | None:
    """The CPUs that were busy when the daemon last looked; None where nobody looked (a store, a replay)."""
    busy = view.status.get("busy_cpus")
    if busy is None and not free_memory_bytes:
        return None
    return Load(tuple(busy or ()), free_memory_bytes, cpus_are_known=busy is not None)


def _error_ratio(view: View) -> float | None:
    """The relative error (a standard deviation) of one pair's value, from its 95 % interval: the median."""
    ratios = [
        (value.high - value.low) / (2 * _DEVIATIONS_OF_95 * value.estimate)
        for result in view.results
        if result.identity.probe == MATRIX_PROBE and result.verdict in ("ok", "noisy")
        and (value := result.measures.get(result.primary)) is not None and value.estimate > 0
    ]  # fmt: skip
    return statistics.median(ratios) if ratios else None


def has_cells(matrix: Matrix) -> bool:
    """Whether anything in the matrix was measured."""
    return any(cell is not None for row in matrix.cells for cell in row)


def _node_costs(view: View) -> NodeCosts | None:
    """Latency and bandwidth between nodes, from sound results only; the narrowest latency wins."""
    latency_ns: dict[tuple[int, int], float] = {}
    bandwidth: dict[tuple[int, int], float] = {}
    single: float | None = None
    for result in view.results:
        cpu_node = view.machine.node_of(result.identity.target.cpus[0])
        node = result.identity.target.node
        value = _value(result)
        if value is None or cpu_node is None or node is None:
            continue
        key = (cpu_node, node)
        if result.identity.probe == "memory_latency":
            latency_ns[key] = min(value, latency_ns.get(key, value))
        elif result.identity.variant.get("operation") == _BANDWIDTH_OPERATION:
            bandwidth[key] = max(value, bandwidth.get(key, value))
            if len(result.identity.target.cpus) == 1 and cpu_node == node:
                single = max(value, single or 0.0)
    if not latency_ns and not bandwidth:
        return None
    return NodeCosts(latency_ns, bandwidth, single)


def _value(result: Result) -> float | None:
    if result.verdict != "ok" or result.primary not in result.measures:
        return None
    return result.measures[result.primary].estimate
