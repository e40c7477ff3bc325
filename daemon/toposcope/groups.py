"""Results gathered by what they have in common: a relation, or the two domains that a pair lies in; pure.

Machines of hundreds of CPUs have tens of thousands of pairs; what is exported, shown and alerted on are these
groups. Live groups pool results; in replay they are computed straight from a matrix (see `replay`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

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


_Key = TypeVar("_Key")
_Made = TypeVar("_Made")
_PairKey = tuple[int, int, GroupKey]


class GroupIndex:
    """The groups of one machine's results; a change costs the groups that it concerns, not all of them."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._domains = {level: domains_of_cpus(machine, level) for level in DOMAIN_LEVELS}
        self._groups: _Pool[GroupKey, Group] = _Pool(_group)
        self._pairs: dict[DomainLevel, _Pool[_PairKey, DomainPair]] = {
            level: _Pool(functools.partial(_domain_pair, level)) for level in DOMAIN_LEVELS
        }

    def put(self, result: Result) -> None:
        """Take a result, in the place of the one that had its id."""
        self._groups.put(_group_key(self._machine, result), result)
        cpus = result.identity.target.cpus
        if len(cpus) != 2 or result.identity.relation is None:
            return
        for level, domain_of in self._domains.items():
            domains = sorted(domain_of[cpu] for cpu in cpus if cpu in domain_of)
            if len(domains) == 2:
                self._pairs[level].put((domains[0], domains[1], _without_relation(result)), result)

    def groups(self) -> tuple[Group, ...]:
        """Results by probe, variant and relation (core set, node pair, interpreter)."""
        return tuple(self._groups.pooled())

    def domain_pairs(self) -> tuple[DomainPair, ...]:
        """Results about pairs of CPUs by probe, variant and the domains that hold the two CPUs."""
        return tuple(pair for pool in self._pairs.values() for pair in pool.pooled())


class _Pool(Generic[_Key, _Made]):
    """Results by a key, and what was made of each key's results, kept until one of them changes."""

    def __init__(self, make: Callable[[_Key, Sequence[Result]], _Made]) -> None:
        self._make = make
        self._members: dict[_Key, dict[str, Result]] = {}
        self._key_of: dict[str, _Key] = {}
        self._pooled: dict[_Key, _Made] = {}

    def put(self, key: _Key, result: Result) -> None:
        """Take a result; one that is in another key's group now leaves its old one."""
        result_id = result.identity.id
        before = self._key_of.get(result_id, key)
        if before != key:
            del self._members[before][result_id]
            self._pooled.pop(before, None)
        self._key_of[result_id] = key
        self._members.setdefault(key, {})[result_id] = result
        self._pooled.pop(key, None)

    def pooled(self) -> Iterator[_Made]:
        """What is made of each key's results, in the order in which the keys first appeared."""
        for key, members in self._members.items():
            if key not in self._pooled and members:
                self._pooled[key] = self._make(key, tuple(members.values()))
            if members:
                yield self._pooled[key]


def _domain_pair(level: DomainLevel, key: _PairKey, results: Sequence[Result]) -> DomainPair:
    domain, other_domain, group_key = key
    return DomainPair(level, domain, other_domain, _group(group_key, results))


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
