"""From a request and the pair costs to positions: the three kinds of work, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toposcope.advise.candidates import Cores
from toposcope.advise.costs import PairCosts
from toposcope.advise.gain import Gain
from toposcope.advise.mapping import WORK_CELLS, communication_cost, mapped, pipeline_edges
from toposcope.advise.nearest import mean_cost, nearest_set
from toposcope.advise.request import Request
from toposcope.advise.simpler import simplest_near_best
from toposcope.advise.spread import Memory, memory_time, spread_out
from toposcope.advise.talks import WeightedEdge
from toposcope.errors import ContradictionError
from toposcope.units import format_ns


@dataclass(frozen=True)
class Choice:
    """Positions in binding order, why, and how the cost of such a placement is told (None: unknown).

    `measured_gain` is set where the gain was itself measured, and not told from latencies.
    """

    positions: tuple[int, ...]
    reasons: tuple[str, ...]
    cost: Callable[[Sequence[int]], float] | None
    is_latency: bool = True
    measured_gain: Gain | None = None


def talks(request: Request) -> bool:
    """Whether the workers hand anything to each other."""
    return request.workers > 1 and (request.sharing != "isolated" or bool(request.communication))


def choose_near(request: Request, costs: PairCosts, cores: Cores) -> list[Choice]:
    """Workers that all share: the set with the least mean latency, or a simpler one as good; ranked."""
    best = nearest_set(costs.rows, cores.groups, cores.workers)

    def cost(chosen: Sequence[int]) -> float:
        return mean_cost(costs.rows, chosen)

    exact = Choice(_inner_first(costs, best), (*_why_near(costs, best), *cores.reasons), cost)
    simple = simplest_near_best(costs.layout, costs.rows, cores.groups, best, costs.error_ratio)
    if simple is None or sorted(simple.chosen) == sorted(best):
        return [exact]
    if costs.basis == "declared":
        why = f"{simple.name}: by the declared levels no set is nearer"
    else:
        known = (
            "the measurement's own error" if costs.error_is_known else "an assumed error of the measurement"
        )
        why = (
            f"{simple.name}: {format_ns(cost(simple.chosen))} against {format_ns(cost(best))} for the "
            f"nearest set found; the difference is within {known} ({costs.error_ratio:.1%})"
        )
    plain = Choice(_inner_first(costs, simple.chosen), (why, *cores.reasons), cost)
    return [exact, plain] if request.exact else [plain, exact]


def _inner_first(costs: PairCosts, chosen: Sequence[int]) -> tuple[int, ...]:
    """Those nearest to the others first: who starts fewer workers takes the first ones."""
    return tuple(sorted(chosen, key=lambda one: (sum(costs.rows[one][other] for other in chosen), one)))


def _why_near(costs: PairCosts, chosen: Sequence[int]) -> tuple[str, ...]:
    if costs.basis == "declared":
        return ("no pair has one steady latency to go by: these CPUs share the narrowest declared levels",)
    if len(chosen) < 2:
        return ("a single worker: the CPU nearest to all others",)
    how = "measured pairs"
    if costs.basis == "sampled":
        how = f"{costs.measured_ratio:.0%} of the pairs measured, the others told from levels and neighbours"
    mean = format_ns(mean_cost(costs.rows, chosen))
    return (f"these CPUs reach each other in {mean} on average ({how}), the least of all sets found",)


def choose_mapped(
    request: Request, costs: PairCosts, cores: Cores, work_cells: int = WORK_CELLS
) -> list[Choice]:
    """Workers of which only some talk: each its CPU, worker 0 (or the first stage) first."""
    edges: list[WeightedEdge] = [(edge.source, edge.target, edge.weight) for edge in request.communication]
    what = "worker to worker, weighted as given"
    if not edges:
        edges, what = pipeline_edges(cores.workers), "stage to stage"
    places = mapped(costs.rows, cores.groups, cores.workers, edges, work_cells)

    def cost(chosen: Sequence[int]) -> float:
        return communication_cost(costs.rows, edges, chosen)

    if costs.basis == "declared":
        why = f"no steady latency to go by: {what}, these CPUs share the narrowest declared levels"
    else:
        how = "measured" if costs.basis == "measured" else f"{costs.measured_ratio:.0%} of the pairs measured"
        why = f"{format_ns(cost(places))} on average from {what} ({how}), the least found"
    return [Choice(tuple(places), (why, *cores.reasons), cost)]


def choose_apart(
    request: Request, costs: PairCosts, cores: Cores, memory: Memory | None, speeds: Sequence[float]
) -> list[Choice]:
    """Workers on their own: apart, each with as much cache and bandwidth as there is."""
    workers, reasons = _useful_workers(request, cores, memory)
    positions = spread_out(costs.layout, cores.groups, workers, memory, speeds)
    if positions is None:
        raise ContradictionError(
            f"the nodes' memory does not hold {workers} workers of {request.memory_bytes_per_worker} bytes",
            "ask for fewer workers or less memory a worker",
        )
    reasons += [
        "each on its own: spread over packages, cache domains and cores, so that each has most of them"
    ]
    if memory is None or not (memory.latency_ns or memory.bandwidth_bytes_per_s):
        if request.bound == "memory":
            reasons.append("no node's bandwidth or latency was measured: spread by the declared topology")
        return [Choice(tuple(positions), (*reasons, *cores.reasons), None)]
    measured = memory

    def cost(chosen: Sequence[int]) -> float:
        return memory_time(measured, chosen)

    reasons.append(
        f"memory-bound work takes {cost(positions):.2f} of the time it would alone on the best node"
    )
    return [Choice(tuple(positions), (*reasons, *cores.reasons), cost, is_latency=False)]


def _useful_workers(request: Request, cores: Cores, memory: Memory | None) -> tuple[int, list[str]]:
    """Fewer workers where the measured bandwidth is used up before."""
    if memory is None or request.exact:
        return cores.workers, []
    nodes = sorted({node for node in memory.node_of if node is not None})
    saturating = [memory.saturating_workers(node) for node in nodes]
    enough = sum(count or 0 for count in saturating)
    if not nodes or None in saturating or enough >= cores.workers:
        return cores.workers, []
    why = f"{enough} workers instead of {cores.workers}: they take all of the nodes' measured bandwidth"
    return enough, [f"{why}, more would only wait"]
