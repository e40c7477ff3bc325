"""What the operating system declares against what the latencies show. Pure.

The agreement of a level is the share of comparisons that it wins: for every CPU, each mate (same group)
against each stranger (another group, but the same one at the next wider declared level, so that a level is
never credited with a wider one's separation); the mate has to be the nearer one, ties count half. 1 means
that every mate is nearer than every stranger, 0.5 that the level can't be seen, less that strangers are
nearer. (It is Mann and Whitney's U statistic as a share, 1947, also known as the area under the ROC curve.)
It knows no unit and no threshold.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from toposcope.matrix import Matrix
from toposcope.topology.infer import Inference, Level
from toposcope.topology.model import CpuSet, Machine, Partition, partition_of

AgreementState = Literal["agrees", "contradicted", "unresolved"]

# A level with at least this agreement is what it is declared to be; a CPU with less than this disagrees.
AGREES: Final = 0.9
CPU_DISAGREES: Final = 0.75
_INVISIBLE: Final = 0.65
_LARGEST_CORE: Final = 8  # threads; POWER's SMT8 is the widest
_WIDE_LEVELS: Final = ("die", "node", "package", "book", "drawer")


@dataclass(frozen=True, slots=True)
class LevelAgreement:
    """One declared level. `agreement` is None where nothing can be told; `cause` says why, or what is likely.

    `state` is `unresolved` where nothing can be told, or where the way of measuring is the likelier cause.
    `same_as` names the inferred level with exactly these groups. `cause` is empty where the level agrees.
    """

    level: str
    state: AgreementState
    agreement: float | None
    disagreeing_cpus: CpuSet
    same_as: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class Undeclared:
    """An inferred level that the machine does not declare, and what it probably is."""

    name: str
    groups: Partition
    cause: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """The declared levels, narrow to wide; what was measured beyond them; doubts about the whole."""

    levels: tuple[LevelAgreement, ...]
    undeclared: tuple[Undeclared, ...]
    doubts: tuple[str, ...]


def compare(machine: Machine, matrix: Matrix, inference: Inference) -> Agreement:
    """Hold every declared level of `machine` against `matrix` and what was inferred from it.

    CPUs that only one of the two knows are left out. Raises nothing; what can't be told says so.
    """
    online = set(machine.online_cpus)
    cpus = tuple(cpu for cpu in matrix.cpus if cpu in online)
    declared = [(name, _complete(partition, cpus)) for name, partition in machine.levels]
    if inference.verdict == "unusable":
        why = f"the matrix is unusable: {inference.reasons[-1]}"
        untold = tuple(LevelAgreement(name, "unresolved", None, (), None, why) for name, _ in declared)
        return Agreement(untold, (), (why,))
    measured = [(level, _complete(level.groups, cpus)) for level in inference.levels]
    levels = []
    for index, (name, partition) in enumerate(declared):
        wider = declared[index + 1][1] if index + 1 < len(declared) else (cpus,)
        levels.append(_level(name, partition, wider, matrix, machine, measured))
    known = {partition for _, partition in declared}
    undeclared = tuple(
        Undeclared(level.name, level.groups, _undeclared_cause(level, partition, declared))
        for level, partition in measured
        if partition not in known and 1 < len(partition) < len(cpus)
    )
    return Agreement(tuple(levels), undeclared, tuple(_doubts(machine, cpus, inference)))


def _complete(partition: Partition, cpus: Sequence[int]) -> Partition:
    """The partition among `cpus`; those that it does not mention are alone."""
    wanted = set(cpus)
    groups = [wanted.intersection(group) for group in partition]
    mentioned = {cpu for group in groups for cpu in group}
    return partition_of([*groups, *([cpu] for cpu in wanted - mentioned)])


def _level(
    name: str, partition: Partition, wider: Partition, matrix: Matrix, machine: Machine,
    measured: Sequence[tuple[Level, Partition]],
) -> LevelAgreement:  # fmt: skip
    shares = _shares(partition, wider, matrix)
    if not shares:
        return LevelAgreement(name, "unresolved", None, (), None, _untold(name, partition))
    agreement = sum(shares.values()) / len(shares)
    disagreeing = tuple(sorted(cpu for cpu, share in shares.items() if share < CPU_DISAGREES))
    same_as = next((level.name for level, groups in measured if groups == partition), None)
    if agreement >= AGREES:
        moved = f"{len(disagreeing)} CPUs are as near to others as to their own: they moved, or noise"
        return LevelAgreement(name, "agrees", agreement, disagreeing, same_as, moved if disagreeing else "")
    home = _home_group(name, partition, measured)
    if home is not None:
        cause = (f"the homing artefact: the shared line lay on the {name} of CPU {home[0]}, so pairs "
                 "elsewhere look remote; home the line on each end's node")  # fmt: skip
        return LevelAgreement(name, "unresolved", agreement, disagreeing, same_as, cause)
    cause = _cause(name, partition, agreement, disagreeing, machine, measured)
    state: AgreementState = "contradicted" if agreement < CPU_DISAGREES else "unresolved"
    return LevelAgreement(name, state, agreement, disagreeing, same_as, cause)


def _home_group(
    name: str, partition: Partition, measured: Sequence[tuple[Level, Partition]]
) -> CpuSet | None:
    """The declared group that held the shared line, where one stands out and the others don't."""
    for level, groups in measured:
        if level.home and name in _WIDE_LEVELS and max(groups, key=len) in partition:
            return max(groups, key=len)
    return None


def _shares(partition: Partition, wider: Partition, matrix: Matrix) -> dict[int, float]:
    """Of each CPU with mates and strangers: the share of comparisons in which the mate is nearer."""
    around = {cpu: group for group in wider for cpu in group}
    shares = {}
    for group in partition:
        for cpu in group:
            mates = _known(matrix, cpu, group)
            strangers = _known(matrix, cpu, set(around[cpu]).difference(group))
            if mates and strangers:
                shares[cpu] = _share_won(mates, sorted(strangers))
    return shares


def _known(matrix: Matrix, cpu: int, others: Sequence[int] | set[int]) -> list[float]:
    values = (matrix.value(cpu, other) for other in others if other != cpu)
    return [value for value in values if value is not None]


def _share_won(mates: Sequence[float], ordered_strangers: Sequence[float]) -> float:
    count = len(ordered_strangers)
    won = sum(
        count - (bisect_left(ordered_strangers, mate) + bisect_right(ordered_strangers, mate)) / 2
        for mate in mates
    )
    return won / (len(mates) * count)


def _untold(name: str, partition: Partition) -> str:
    cpus = sum(map(len, partition))
    if cpus <= 2:
        return f"{cpus} CPUs make at most one pair: there is nothing to compare it with"
    if len(partition) == 1:
        return f"all CPUs are of one {name}: there is no stranger to compare mates with"
    if all(len(group) == 1 for group in partition):
        return f"no two measured CPUs share a {name}"
    return "too few of its pairs were measured, or its groups fill the next wider level"


def _cause(
    name: str, partition: Partition, agreement: float, disagreeing: CpuSet, machine: Machine,
    measured: Sequence[tuple[Level, Partition]],
) -> str:  # fmt: skip
    """The likely cause of a disagreement, the most specific first."""
    sizes = sorted(map(len, partition))
    if any(sorted(map(len, groups)) == sizes and groups != partition for _, groups in measured):
        why = "vCPUs moved" if machine.setting("hypervisor") else "firmware numbers them differently"
        return f"groups of the same sizes were measured, with other CPUs in them: {why}"
    if agreement >= _INVISIBLE and len(disagreeing) < sum(sizes) / 2:
        return "part of the CPUs disagree: they moved while being measured, or were disturbed"
    if name == "node":
        return "cores do not notice these nodes: an NPS or SNC mode parts the memory, not the cores"
    if name in ("package", "book", "drawer"):
        return f"no step where the {name}s should part: they are made up, as hypervisors do by default"
    if name == "smt":
        return "siblings are no nearer than others: cores made up, vCPUs moved, or too coarse a clock"
    return f"mates of one {name} are no nearer than strangers: it is made up, or costs nothing here"


def _undeclared_cause(level: Level, partition: Partition, declared: Sequence[tuple[str, Partition]]) -> str:
    names = [name for name, _ in declared]
    largest = max(map(len, partition))
    if level.home:
        return (
            "the homing artefact: the socket that held the shared line stands out, the others can't be told"
        )
    if (
        largest <= _LARGEST_CORE
        and "smt" not in names
        and not any(_refines(groups, partition) for _, groups in declared)
    ):
        return f"groups of up to {largest} that nothing declares: hidden SMT threads, or a shared L2"
    packages = dict(declared).get("package")
    if packages is not None and _refines(packages, partition):
        return "several declared packages are one: sockets made up by the hypervisor or by firmware"
    if "package" not in names or (packages is not None and _refines(partition, packages)):
        return "parts of a package that nothing declares: dies, L3 domains, NPS or SNC, or hidden sockets"
    return "groups that cross the declared ones: CPUs moved, or the declared topology is wrong"


def _refines(fine: Partition, coarse: Partition) -> bool:
    home = {cpu: index for index, group in enumerate(coarse) for cpu in group}
    return all(len({home[cpu] for cpu in group}) == 1 for group in fine)


def _doubts(machine: Machine, cpus: Sequence[int], inference: Inference) -> list[str]:
    doubts = []
    missing = len(machine.online_cpus) - len(cpus)
    if missing:
        doubts.append(f"{missing} online CPUs are not in the matrix: nothing is said of them")
    if len(cpus) <= 2:
        doubts.append("two CPUs make one pair: whether they share a core, a cache or nothing can't be told "
                      "from its latency alone")  # fmt: skip
    packages = _complete(machine.packages or (), cpus)
    if len(cpus) > 2 and machine.packages and all(len(group) == 1 for group in packages):
        doubts.append("every CPU is declared a package of its own, as some hypervisors do: only what was "
                      "measured tells anything")  # fmt: skip
    if inference.verdict in ("flat", "continuum") and machine.levels:
        doubts.append(f"the latencies show no levels ({inference.verdict}): {inference.reasons[-1]}")
    return doubts
