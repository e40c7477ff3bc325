"""What to measure on a machine, in which order of importance; pure.

Tier 0 holds one representative target of every relation, node pair and core set, so that a first answer
comes soon; tier 1 adds pairs drawn at random from each relation, which shows whether the representative
is one; tier 2 is the rest of the CPU × CPU matrix, for the probe that the matrix is made of: every pair up to
128 CPUs, and of larger machines as many of each class of pairs as a daemon can hold (`matrix_order`).

Only tier 0 comes round once an interval: that is the cheap look which tells whether everything is as it was.
The random pairs come round more seldom, and all at once where a representative moved (`revalidation`).
Where a pair's roles differ (writer and reader, waker and sleeper), its two directions are two targets.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from toposcope.measure.core_sets import compact_order, core_sets
from toposcope.measure.matrix_order import pairs_by_turns
from toposcope.results import Identity, Target
from toposcope.topology.model import RELATIONS, Machine
from toposcope_probes.contract import ProbeSpec, TargetKind

RANDOM_PAIRS_PER_RELATION: Final = 4
# The probe whose pairs make up the full matrix, and the variant that is measured for all pairs.
MATRIX_PROBE: Final = "cacheline_cas"
# So many pairs of the matrix a daemon measures and holds at most: 128 CPUs have 8,128, some 50 MiB. 384 CPUs
# have 73,536, and each costs memory in the view (which bounds it) and time at rendering.
MATRIX_PAIRS_MAX: Final = 8192
# Up to so many CPUs (2,016 pairs) each pair is visited once a day, on larger machines once a week.
_DAILY_MATRIX_CPUS_MAX: Final = 64
_DAY_S: Final = 86_400.0
# Random pairs come round once in so many intervals of their probe.
_TIER_1_INTERVALS: Final = 6
# Beyond this many CPUs representatives and random pairs are drawn from a sample of the pairs.
_ALL_PAIRS_CPUS_MAX: Final = 128
_CORE_SET_CPUS_MAX: Final = 64
# A plan that wants less than this share of the budget may look more often, at most ten times.
_BUDGET_SHARE_WANTED: Final = 0.5
_INTERVAL_FACTOR_MIN: Final = 0.1
_SCALED_VISIT_MS_MAX: Final = 50.0
# Visits longer than this, or of more CPU time, are paid from a share of the budget of their own.
_LONG_VISIT_MS: Final = 100.0
_LONG_VISIT_CPU_MS: Final = 400.0


@dataclass(frozen=True, slots=True)
class ProbeChoice:
    """A probe that is to be measured, with its times (seconds).

    `configured` where a person set the interval: then it is kept as it is.
    """

    spec: ProbeSpec
    interval_s: float
    max_age_s: float
    configured: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One target in one variant, to be visited again and again; `arguments` beyond those of the spec."""

    choice: ProbeChoice
    identity: Identity
    tier: int
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> ProbeSpec:
        """The probe's spec."""
        return self.choice.spec

    @property
    def cpu_ms(self) -> float:
        """What a visit costs by the spec: every CPU of the target for its time, one where it names none."""
        return self.spec.visit_ms * max(1, len(self.identity.target.cpus))

    @property
    def is_long(self) -> bool:
        """Whether a visit takes so long, or so many CPUs, that others had better not wait for it."""
        return self.spec.visit_ms > _LONG_VISIT_MS or self.cpu_ms > _LONG_VISIT_CPU_MS


def plan(
    machine: Machine,
    choices: Sequence[ProbeChoice],
    *,
    cpus: Iterable[int],
    interpreters: Sequence[str] = (),
    seed: int = 0,
    is_lasting: bool = False,
) -> tuple[Task, ...]:
    """All tasks on `cpus`, most important first. `seed` draws the random pairs.

    `is_lasting` where there are days to measure in: else a large machine's matrix is left out.
    """
    usable = tuple(sorted(set(cpus) & set(machine.online_cpus)))
    tasks: list[Task] = []
    for choice in choices:
        seldom = _less_often(choice, _TIER_1_INTERVALS * choice.interval_s)
        for tier, target in targets(machine, choice.spec, usable, interpreters, seed):
            told = memory_arguments(machine, choice.spec, target)
            tasks += [
                Task(seldom if tier else choice, identify(machine, choice.spec, target, variant), tier, told)
                for variant in variants(machine, choice.spec)
                if not _says_nothing_new(machine, target, variant)
            ]
    planned = {task.identity.id for task in tasks}
    if is_lasting or len(usable) <= _DAILY_MATRIX_CPUS_MAX:
        matrix = _matrix(machine, choices, usable, seed)
        tasks += [task for task in matrix if task.identity.id not in planned]
    return tuple(sorted(tasks, key=lambda task: task.tier))


def _matrix(
    machine: Machine, choices: Sequence[ProbeChoice], cpus: Sequence[int], seed: int
) -> tuple[Task, ...]:
    """The matrix's pairs in its variant, classes by turns, once a day or a week or as a person set it."""
    days = 1 if len(cpus) <= _DAILY_MATRIX_CPUS_MAX else 7
    return tuple(
        Task(_less_often(choice, days * _DAY_S), identify(machine, choice.spec, Target(pair), variant), 2)
        for choice in choices
        if choice.spec.name == MATRIX_PROBE
        for variant in itertools.islice(variants(machine, choice.spec), 1)
        for pair in pairs_by_turns(machine, cpus, MATRIX_PAIRS_MAX, seed)
    )


def matrix_tasks(machine: Machine, choice: ProbeChoice, cpus: Iterable[int]) -> tuple[Task, ...]:
    """What the matrix of a pair probe shows: every pair in the first variant (threads, home first)."""
    variant = next(variants(machine, choice.spec))
    return tuple(task for task in all_pairs(machine, choice, cpus) if task.identity.variant == variant)


def _less_often(choice: ProbeChoice, interval_s: float) -> ProbeChoice:
    return choice if choice.configured else replace(choice, interval_s=interval_s)


def more_often(tasks: Sequence[Task], budget_ratio: float) -> tuple[Task, ...]:
    """The same tasks with shorter intervals where the plan leaves most of the budget unused.

    The specs' intervals let a large machine keep within its budget; a small one can look more often for
    the same money, up to ten times. Costs are the specs' estimates; what is really spent is bounded by
    the budget anyway. Long visits (seconds of Python) keep their interval.
    """
    planned = sum(_cpu_ratio(task) for task in tasks)
    factor = max(_INTERVAL_FACTOR_MIN, planned / (_BUDGET_SHARE_WANTED * budget_ratio)) if tasks else 1.0
    if factor >= 1:
        return tuple(tasks)
    return tuple(_with_interval(task, factor) for task in tasks)


def _cpu_ratio(task: Task) -> float:
    """CPU seconds a second, by the spec."""
    return task.cpu_ms / 1000 / task.choice.interval_s


def _with_interval(task: Task, factor: float) -> Task:
    choice = task.choice
    if choice.configured or task.spec.visit_ms > _SCALED_VISIT_MS_MAX:
        return task
    return replace(task, choice=replace(choice, interval_s=choice.interval_s * factor))


def all_pairs(machine: Machine, choice: ProbeChoice, cpus: Iterable[int]) -> tuple[Task, ...]:
    """The whole matrix of a pair probe over `cpus`, variant by variant: every pair once, and once more the
    other way round where that is another target."""
    ids = sorted(set(cpus))
    pairs = itertools.combinations(ids, 2) if choice.spec.symmetric else itertools.permutations(ids, 2)
    targets_ = [Target(pair) for pair in pairs]
    return tuple(
        Task(choice, identify(machine, choice.spec, target, variant), 2)
        for variant in variants(machine, choice.spec)
        for target in targets_
        if not _says_nothing_new(machine, target, variant)
    )


def identify(machine: Machine, spec: ProbeSpec, target: Target, variant: Mapping[str, str]) -> Identity:
    """The identity of a probe's result for one target and variant, with the pair's relation."""
    relation = distance = None
    if spec.target is TargetKind.PAIR:
        relation = machine.relation(*target.cpus)
        if relation == "cross_package":
            distance = machine.node_distance(*target.cpus)
    elif target.node is not None and len(target.cpus) == 1 and machine.distances is not None:
        home = machine.node_of(target.cpus[0])
        distance = machine.distances.between(home, target.node) if home is not None else None
    return Identity(spec.name, target, dict(variant), relation, distance)


def memory_arguments(machine: Machine, spec: ProbeSpec, target: Target) -> dict[str, str]:
    """How much memory a program is told to use for a target; nothing where it decides by itself.

    Where the outermost caches are not known, the spec's least counts.
    """
    wanted = spec.working_set
    if wanted is None:
        return {}
    cache_mib = _outermost_cache_bytes(machine, target.cpus) / (1 << 20)
    mib = max(
        wanted.least_mib, wanted.least_mib_a_cpu * len(target.cpus), math.ceil(wanted.times * cache_mib)
    )
    if wanted.power_of_two:
        mib = 1 << (mib - 1).bit_length()
    if wanted.most_mib is not None:
        mib = min(mib, wanted.most_mib)
    return {wanted.key: str(mib)} if mib else {}


def _outermost_cache_bytes(machine: Machine, cpus: Sequence[int]) -> int:
    """The caches of the highest level that serve these CPUs, each counted once."""
    serving = [
        cache for cache in machine.caches or () if set(cache.cpus).intersection(cpus) and cache.size_bytes
    ]
    level = max((cache.level for cache in serving), default=0)
    return sum(cache.size_bytes or 0 for cache in serving if cache.level == level)


def variants(machine: Machine, spec: ProbeSpec) -> Iterator[dict[str, str]]:
    """All combinations of a probe's variants; `home` means nothing where memory has just one node."""
    keys = [key for key in spec.variants if key != "home" or _memory_node_count(machine) > 1]
    for values in itertools.product(*(spec.variants[key] for key in keys)):
        yield dict(zip(keys, values, strict=True))


def _says_nothing_new(machine: Machine, target: Target, variant: Mapping[str, str]) -> bool:
    """Whether a line's second home is its first one, since both CPUs have the same node."""
    if variant.get("home") != "second":
        return False
    return len({machine.node_of(cpu) for cpu in target.cpus}) == 1


def _memory_node_count(machine: Machine) -> int:
    return sum(node.memory_bytes != 0 for node in machine.numa_nodes)


def targets(
    machine: Machine, spec: ProbeSpec, cpus: Sequence[int], interpreters: Sequence[str], seed: int
) -> Iterator[tuple[int, Target]]:
    """(tier, target) for every target of a probe; none where the machine has no such thing."""
    kind = spec.target
    if kind is TargetKind.PAIR:
        yield from _pairs(machine, cpus, seed, symmetric=spec.symmetric)
    elif kind is TargetKind.CPU:
        yield from ((0, Target((cpu,))) for cpu in _representative_cpus(machine, cpus))
    elif kind is TargetKind.CORE:
        usable = set(cpus)
        siblings = [core for core in machine.cores or () if len(usable.intersection(core)) > 1]
        yield from ((0, Target(tuple(c for c in core if c in usable)[:2])) for core in siblings[:1])
    elif kind is TargetKind.CPU_NODE:
        for cpu in _representative_cpus(machine, cpus):
            yield from ((0, Target((cpu,), node=node)) for node in _memory_nodes(machine))
    elif kind is TargetKind.CORE_SET:
        for name, members in core_sets(machine, cpus):
            if len(members) <= _CORE_SET_CPUS_MAX:
                yield 0, Target(members, core_set=name)
    elif kind is TargetKind.CORE_SET_NODE:
        yield from ((0, target) for target in _core_sets_on_nodes(machine, cpus))
    else:
        members = tuple(compact_order(machine, cpus))[:_CORE_SET_CPUS_MAX]
        yield from ((0, Target(members, interpreter=name)) for name in interpreters)


def _pairs(
    machine: Machine, cpus: Sequence[int], seed: int, *, symmetric: bool
) -> Iterator[tuple[int, Target]]:
    """A representative of each relation, in both directions, and random pairs, in a random one."""
    chooser = random.Random(seed)
    by_relation: dict[str, list[tuple[int, int]]] = {}
    for pair in _candidate_pairs(cpus, chooser):
        by_relation.setdefault(machine.relation(*pair), []).append(pair)
    for relation in sorted(by_relation, key=RELATIONS.index):
        first, *rest = by_relation[relation]
        yield 0, Target(first)
        if not symmetric:
            yield 0, Target(first[::-1])
        for pair in chooser.sample(rest, min(len(rest), RANDOM_PAIRS_PER_RELATION)):
            yield 1, Target(pair if symmetric or chooser.random() < 1 / 2 else pair[::-1])


def _candidate_pairs(cpus: Sequence[int], chooser: random.Random) -> Iterator[tuple[int, int]]:
    """All pairs of a small machine; of a large one the first CPU's and a sample of the others'."""
    if len(cpus) <= _ALL_PAIRS_CPUS_MAX:
        yield from itertools.combinations(cpus, 2)
        return
    yield from ((cpus[0], cpu) for cpu in cpus[1:])
    chosen = sorted(chooser.sample(cpus[1:], _ALL_PAIRS_CPUS_MAX))
    yield from itertools.combinations(chosen, 2)


def _representative_cpus(machine: Machine, cpus: Sequence[int]) -> list[int]:
    """One CPU of each node, package and core type: the first that may be used."""
    nodes = tuple(node.cpus for node in machine.numa_nodes)
    chosen: list[int] = []
    for cpu_set in (*(machine.core_types or ()), *nodes, *(machine.packages or ())):
        usable = [cpu for cpu in cpus if cpu in set(cpu_set)]
        if usable and not set(chosen).intersection(usable):
            chosen.append(usable[0])
    return chosen or list(cpus[:1])


def _memory_nodes(machine: Machine) -> list[int | None]:
    nodes: list[int | None] = [node.id for node in machine.numa_nodes if node.memory_bytes != 0]
    return nodes or [None]


def _core_sets_on_nodes(machine: Machine, cpus: Sequence[int]) -> Iterator[Target]:
    """For each memory node: 1, 2, 4, … CPUs of its own, and all CPUs of each other package."""
    usable = set(cpus)
    for node in machine.numa_nodes or ():
        if node.memory_bytes == 0:
            continue
        near = [cpu for cpu in compact_order(machine, cpus) if cpu in set(node.cpus)]
        size = 1
        while near and size < len(near):
            yield Target(tuple(near[:size]), node=node.id, core_set=f"compact:{size}")
            size *= 2
        if near:
            members = tuple(near[:_CORE_SET_CPUS_MAX])
            yield Target(members, node=node.id, core_set=f"compact:{len(members)}")
        for package in machine.packages or ():
            far = [cpu for cpu in package if cpu in usable and cpu not in set(node.cpus)]
            if far and not set(package).intersection(near):
                members = tuple(compact_order(machine, far)[:_CORE_SET_CPUS_MAX])
                yield Target(members, node=node.id, core_set=f"remote:{len(members)}")
    if not machine.numa_nodes and cpus:
        yield Target(tuple(compact_order(machine, cpus)[:1]), core_set="compact:1")


def arguments(tasks: Sequence[Task]) -> list[str]:
    """The `key=value` words that make a program measure the tasks' targets once each, in this order.

    Several tasks have to be pairs, and to agree in probe, variant and node.
    """
    first = tasks[0]
    target = first.identity.target
    if len(tasks) == 1:
        words = ["cpus=" + ",".join(map(str, target.cpus))]
    else:
        words = ["pairs=" + ",".join("{}:{}".format(*task.identity.target.cpus) for task in tasks)]
    if target.node is not None:
        words.append(f"node={target.node}")
    words += [f"{key}={value}" for key, value in {**first.spec.arguments, **first.arguments}.items()]
    words += [f"{key}={value}" for key, value in first.identity.variant.items()]
    return words
