"""Results gathered by what they have in common: a relation, or the two domains that a pair lies in; pure.

Machines of hundreds of CPUs have tens of thousands of pairs; what is exported, shown and alerted on are these
groups. Live groups pool results; in replay they are computed straight from a matrix (see `replay`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from toposcope.measure.estimate import combine
from toposcope.results import Estimate, Mode, Result, Verdict
from toposcope.topology.model import Machine

DomainLevel = Literal["l3", "node"]
DOMAIN_LEVELS: Final[tuple[DomainLevel, ...]] = ("l3", "node")


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What the results of a group have in common."""

    probe: str
    measure: str
    variant: tuple[tuple[str, str], ...]
    relation: str | None
    core_set: str | None
    cpu_node: int | None
    node: int | None
    interpreter: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Results that differ only in the target and share a relation (or core set, or nodes)."""

    key: GroupKey
    verdict: Verdict
    estimates: Mapping[str, Estimate]
    modes: tuple[Mode, ...]
    results: int
    last_success_time_s: float | None


@dataclass(frozen=True, slots=True)
class DomainPair:
    """All pairs between two domains of one level, or within one where both are the same.

    `domain <= other_domain`. A node is named by its id; an L3 domain, which has none, by its first CPU.
    """

    level: DomainLevel
    domain: int
    other_domain: int
    group: Group


def domains_of_cpus(machine: Machine, level: DomainLevel) -> dict[int, int]:
    """The domain of each CPU at a level, empty where the machine doesn't tell."""
    if level == "node":
        return {cpu: node.id for node in machine.numa_nodes for cpu in node.cpus}
    return {cpu: cpus[0] for cpus in machine.cache_partition(3) or () for cpu in cpus}


def groups_of(machine: Machine, results: Iterable[Result]) -> tuple[Group, ...]:
    """Results by probe, variant and relation (core set, node pair, interpreter)."""
    members: dict[GroupKey, list[Result]] = {}
    for result in results:
        members.setdefault(_group_key(machine, result), []).append(result)
    return tuple(_group(key, grouped) for key, grouped in members.items())


def domain_pairs_of(machine: Machine, results: Iterable[Result]) -> tuple[DomainPair, ...]:
    """Results about pairs of CPUs by probe, variant and the domains that hold the two CPUs."""
    pairs = [result for result in results if len(result.identity.target.cpus) == 2
             and result.identity.relation is not None]  # fmt: skip
    found: list[DomainPair] = []
    for level in DOMAIN_LEVELS:
        domain_of = domains_of_cpus(machine, level)
        members: dict[tuple[int, int, GroupKey], list[Result]] = {}
        for result in pairs:
            domains = sorted(domain_of[cpu] for cpu in result.identity.target.cpus if cpu in domain_of)
            if len(domains) == 2:
                key = (domains[0], domains[1], _without_relation(result))
                members.setdefault(key, []).append(result)
        found += [
            DomainPair(level, domain, other, _group(key, grouped))
            for (domain, other, key), grouped in members.items()
        ]
    return tuple(found)


def _group_key(machine: Machine, result: Result) -> GroupKey:
    identity = result.identity
    target = identity.target
    return GroupKey(
        probe=identity.probe,
        measure=result.primary,
        variant=tuple(sorted(identity.variant.items())),
        relation=identity.relation,
        core_set=target.core_set,
        cpu_node=machine.node_of(target.cpus[0]) if target.node is not None else None,
        node=target.node,
        interpreter=target.interpreter,
    )


def _without_relation(result: Result) -> GroupKey:
    variant = tuple(sorted(result.identity.variant.items()))
    return GroupKey(result.identity.probe, result.primary, variant, None, None, None, None, None)


def _group(key: GroupKey, results: Sequence[Result]) -> Group:
    """Pool the results of a group; where most are unstable, so is the group, with its commonest modes."""
    values = [result for result in results if result.verdict == "ok"]
    unstable = [result for result in results if result.verdict == "unstable"]
    noisy = [result for result in results if result.verdict == "noisy"]
    modes: tuple[Mode, ...] = ()
    verdict: Verdict
    if unstable and len(unstable) >= len(values):
        verdict, values = "unstable", []
        modes = max(unstable, key=lambda result: result.visits).modes
    elif values:
        verdict = "ok"
    elif noisy:
        verdict, values = "noisy", noisy
    else:
        verdict = results[-1].verdict
    names = dict.fromkeys(itertools.chain.from_iterable(result.measures for result in values))
    estimates = {name: combine([r.measures[name] for r in values if name in r.measures]) for name in names}
    times = [result.last_success_time_s for result in results if result.last_success_time_s is not None]
    return Group(
        key=key,
        verdict=verdict,
        estimates=estimates,
        modes=modes,
        results=len(results),
        last_success_time_s=max(times, default=None),
    )
