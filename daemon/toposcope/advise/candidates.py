"""Which CPUs may be used at all, and whether two workers may share a core."""

from __future__ import annotations

from dataclasses import dataclass

from toposcope.advise.facts import Evidence
from toposcope.advise.layout import Layout
from toposcope.advise.request import Request
from toposcope.errors import ContradictionError
from toposcope.topology.cpulist import format_cpulist


@dataclass(frozen=True, slots=True)
class Candidates:
    """The CPUs to choose from (ascending ids), and sentences about those left out."""

    cpus: tuple[int, ...]
    reasons: tuple[str, ...]


def candidates(request: Request, evidence: Evidence) -> Candidates:
    """What the request, the machine and its load leave over.

    Raises ContradictionError where a CPU or node asked for does not exist, where no CPU is left, or where
    there are fewer CPUs than workers.
    """
    machine = evidence.machine
    usable = set(machine.usable_cpus)
    reasons = []
    _check_named(request, evidence, usable)
    cpus = set(usable if request.cpus is None else request.cpus)
    cpus -= set(request.avoid_cpus)
    if request.nodes is not None:
        cpus &= {cpu for node in machine.numa_nodes if node.id in request.nodes for cpu in node.cpus}
    isolated = cpus & set(machine.isolated_cpus or ())
    if request.cpus is None and isolated and isolated != cpus:
        cpus -= isolated
        names = format_cpulist(sorted(isolated))
        reasons.append(
            f"CPUs {names} are isolated from the scheduler and left out; name them with --cpus to use them"
        )
    busy = cpus & set(evidence.load.busy_cpus if evidence.load else ())
    if busy and (request.exclusive or len(cpus - busy) >= request.workers):
        cpus -= busy
        reasons.append(f"CPUs {format_cpulist(sorted(busy))} are busy with other work now and left out")
    if len(cpus) < request.workers:
        raise _too_few(request, len(cpus), len(usable))
    return Candidates(tuple(sorted(cpus)), tuple(reasons))


def _check_named(request: Request, evidence: Evidence, usable: set[int]) -> None:
    unknown = sorted(set(request.cpus or ()) - usable)
    if unknown:
        raise ContradictionError(
            f"CPU {format_cpulist(unknown[:64])} can't be used here",
            f"the CPUs that are online and allowed are {format_cpulist(sorted(usable))}",
        )
    nodes = {node.id for node in evidence.machine.numa_nodes}
    missing = sorted(set(request.nodes or ()) - nodes)
    if missing:
        known = ", ".join(map(str, sorted(nodes))) or "none"
        raise ContradictionError(f"there is no NUMA node {missing[0]}", f"this machine's nodes: {known}")


def _too_few(request: Request, left: int, usable: int) -> ContradictionError:
    if left == usable:
        return ContradictionError(
            f"{request.workers} workers can't have a CPU each on {usable} CPUs", f"ask for at most {usable}"
        )
    return ContradictionError(
        f"{request.workers} workers, but only {left} of the {usable} CPUs are left to choose from",
        "ask for fewer workers, or leave out fewer CPUs",
    )


@dataclass(frozen=True, slots=True)
class Cores:
    """`groups[i]`: of equal ones at most one may be taken. `workers`: how many can be placed so."""

    groups: tuple[int, ...]
    workers: int
    avoids_smt: bool
    reasons: tuple[str, ...]


def choose_cores(request: Request, layout: Layout, cores_are_known: bool) -> Cores:
    """Whether two workers may share a core. Raises ContradictionError where `avoid` leaves too few cores.

    `auto` lets them where there are too few, since that mostly gains throughput (`smt_interference`); where
    latency matters more, fewer workers are the better answer.
    """
    cores = len(set(layout.cores))
    alone = tuple(range(len(layout.cpus)))
    threaded = cores < len(layout.cpus)
    shares_if_need_be = request.smt == "auto" and (request.objective == "throughput" or request.exact)
    if request.smt == "allow" or (shares_if_need_be and threaded and request.workers > cores):
        reasons = ("more workers than cores: some share a core",) if request.workers > cores else ()
        return Cores(alone, request.workers, False, reasons)
    if not threaded:
        told = () if cores_are_known or request.smt == "auto" else (
            "nothing shows which CPUs share a core, so each counts as a core of its own",)  # fmt: skip
        return Cores(layout.cores, request.workers, True, told)
    if request.workers > cores:
        if request.exact:
            raise ContradictionError(
                f"{request.workers} workers can't have a core each: {cores} cores are left to choose from",
                f"ask for at most {cores}, or allow two workers on a core with --smt allow",
            )
        return Cores(layout.cores, cores, True, (
            (f"{cores} workers instead of {request.workers}: there is no further core, and sharing one was "
            "to be avoided"),))  # fmt: skip
    return Cores(layout.cores, request.workers, True, ("each worker has a core to itself",))
