"""Replay: a view of another machine, from what was captured of it and a matrix that was measured there.

Nothing is measured, no time is read, and what is said of every group of pairs comes from the matrix alone:
estimate and interval by order statistics over the group's pairs. A matrix file doesn't name its operation;
it is taken for the one that `toposcope matrix` writes by default (one line, compare-and-swap, threads), and
every document and metric says `mode: replay`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from toposcope.errors import UsageError
from toposcope.groups import DOMAIN_LEVELS, DomainLevel, DomainPair, Group, GroupKey, domains_of_cpus
from toposcope.matrix import Matrix, read_matrix
from toposcope.measure.estimate import median_interval, quantile
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.results import Estimate
from toposcope.topology.load import load_machine
from toposcope.topology.model import RELATIONS, Machine

MEASURE: Final = "latency_ns"
VARIANT: Final = (("model", "thread"),)
# Where more of a group's pairs than this have no positive value, the rest describes the clock, not the pairs.
_UNUSABLE_SHARE_MAX: Final = 0.5


_BARE: Final = "only a matrix was given: one package is assumed, its caches, cores and nodes are unknown"

_Row = tuple[int, list[int], list[float]]
_Key = TypeVar("_Key")


def load(
    sysroot: Path | None = None, topology_file: Path | None = None, matrix_file: Path | None = None
) -> tuple[Machine, Matrix | None]:
    """The machine and the matrix that a command was told to speak of (at least one of the three).

    Raises TopologyError, MatrixError, or UsageError where the two don't describe the same CPUs.
    """
    assert sysroot or topology_file or matrix_file, "nothing to replay"
    matrix = read_matrix(matrix_file) if matrix_file else None
    if not (sysroot or topology_file):
        assert matrix is not None
        return machine_of(matrix), matrix
    machine = load_machine(sysroot, topology_file)
    if matrix is not None:
        _check_same_cpus(machine, matrix, str(matrix_file))
    return machine, matrix


def _check_same_cpus(machine: Machine, matrix: Matrix, name: str) -> None:
    online = set(machine.online_cpus)
    foreign = [cpu for cpu in matrix.cpus if cpu not in online]
    if foreign:
        listed = ", ".join(map(str, foreign[:5])) + (", …" if len(foreign) > 5 else "")
        raise UsageError(
            f"{name}: CPU {listed} is not online on the machine that was given with it",
            "give the topology of the machine that the matrix was measured on",
        )


def machine_of(matrix: Matrix) -> Machine:
    """A machine that has the matrix's CPUs and, since nothing tells more, one package that holds them all."""
    cpus = tuple(sorted(matrix.cpus))
    return Machine(is_this_system=False, online_cpus=cpus, packages=(cpus,), doubts=(_BARE,))


def is_bare(machine: Machine) -> bool:
    """Whether nothing is known of the machine but its CPUs, since only a matrix was given."""
    return _BARE in machine.doubts


@dataclass(frozen=True, slots=True)
class Summary:
    """A matrix, gathered: by relation (narrow to wide), and by the domains that hold the two CPUs."""

    groups: tuple[Group, ...]
    domain_pairs: tuple[DomainPair, ...]


def summarise(machine: Machine, matrix: Matrix) -> Summary:
    """Gather the matrix's pairs; takes 1.6 s for 1,024 CPUs and 0.2 s for 384."""
    rows = list(_upper_rows(matrix))
    by_relation: dict[str, list[float]] = {}
    for cpu, others, values in rows:
        relation_of = _relations_of(machine, cpu)
        names = [relation_of.get(other, "cross_package") for other in others]
        for name, members in _gathered(names, values).items():
            by_relation.setdefault(name, []).extend(members)
    order = [*(name for name, _ in machine.levels), "cross_package"]
    groups = tuple(_group(by_relation[name], relation=name) for name in order if name in by_relation)
    pairs = [pair for level in DOMAIN_LEVELS for pair in _domain_pairs(machine, level, rows)]
    return Summary(groups, tuple(pairs))


def _relations_of(machine: Machine, cpu: int) -> dict[int, str]:
    """The relation of `cpu` to each CPU that it shares a level with: `Machine.relation`, a row at a time."""
    sets = [
        (len(cpus), -RELATIONS.index(name), name, cpus)
        for name, partition in machine.levels
        for cpus in partition
        if cpu in cpus
    ]
    relations: dict[int, str] = {}
    for _, _, name, cpus in sorted(sets, reverse=True):  # the smallest set is written last and stays
        relations.update(dict.fromkeys(cpus, name))
    return relations


def _domain_pairs(machine: Machine, level: DomainLevel, rows: Sequence[_Row]) -> Iterator[DomainPair]:
    domain_of = domains_of_cpus(machine, level)
    if not domain_of:
        return
    found: dict[tuple[int, int], list[float]] = {}
    for cpu, others, values in rows:
        domain = domain_of.get(cpu)
        if domain is None:
            continue
        for other_domain, members in _gathered([domain_of.get(other) for other in others], values).items():
            if other_domain is not None:
                key = (min(domain, other_domain), max(domain, other_domain))
                found.setdefault(key, []).extend(members)
    for key in sorted(found):
        yield DomainPair(level, *key, _group(found[key]))


def _gathered(keys: Iterable[_Key], values: Iterable[float]) -> dict[_Key, list[float]]:
    members: dict[_Key, list[float]] = {}
    for key, value in zip(keys, values, strict=True):
        if key in members:
            members[key].append(value)
        else:
            members[key] = [value]
    return members


def _upper_rows(matrix: Matrix) -> Iterator[_Row]:
    """Each CPU, the CPUs after it, and the latencies to them, where they were measured."""
    for index, (cpu, row) in enumerate(zip(matrix.cpus, matrix.symmetric(), strict=True)):
        others = matrix.cpus[index + 1 :]
        known = [(other, value) for other, value in zip(others, row[index + 1 :], strict=True)
                 if value is not None]  # fmt: skip
        yield cpu, [other for other, _ in known], [value for _, value in known]


def _group(values: Sequence[float], relation: str | None = None) -> Group:
    key = GroupKey(MATRIX_PROBE, MEASURE, VARIANT, relation, None, None, None, None)
    usable = sorted(value for value in values if value > 0)
    if len(usable) < (1 - _UNUSABLE_SHARE_MAX) * len(values):
        return Group(key, "failed", {}, (), len(values), None)
    low, high = median_interval(usable)
    estimate = Estimate(
        estimate=statistics.median(usable),
        min=usable[0],
        median=statistics.median(usable),
        p90=quantile(usable, 0.9),
        low=low,
        high=high,
        line_spread=quantile(usable, 0.9) - quantile(usable, 0.1),
    )
    return Group(key, "ok", {MEASURE: estimate}, (), len(values), None)
