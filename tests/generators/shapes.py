"""Ideal machines: which CPUs belong together, and what a pair of them costs before anybody measures it.

Each family is a function of a random generator. CPUs are positions 0…n-1 here; ids come with the measurement.
Latencies are built as ratios from a first one, so nothing depends on nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

Labels = tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """`levels`: (name, group of each CPU), narrow to wide; `latency_ns[i][j]` for i != j, symmetric.

    `home` is (name of a level, its group that held the shared line) where the homing artefact is in.
    """

    family: str
    levels: tuple[tuple[str, Labels], ...]
    latency_ns: tuple[tuple[float, ...], ...]
    home: tuple[str, int] | None = None
    traits: tuple[str, ...] = field(default=())

    @property
    def cpu_count(self) -> int:
        """Number of CPUs."""
        return len(self.latency_ns)


def _table(count: int, latency_ns: Callable[[int, int], float]) -> tuple[tuple[float, ...], ...]:
    rows = [[0.0] * count for _ in range(count)]
    for i in range(count):
        for j in range(i):
            rows[i][j] = rows[j][i] = latency_ns(i, j)
    return tuple(map(tuple, rows))


def _split(count: int, parts: int) -> Labels:
    """`count` CPUs in `parts` neighbouring groups of nearly one size."""
    return tuple(cpu * parts // count for cpu in range(count))


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def nested(rng: Random, max_cpus: int = 256, min_cpus: int = 3) -> Shape:
    """Packages of dies of L3 domains of clusters of cores of threads; each level may be absent.

    Groups of one level are not all equally far from each other (a die's neighbours are nearer than its
    diagonal), by up to 12 % either way. A level's step is 1.15 to 5 times, so that some can't be told.
    """
    while True:
        counts = [("package", rng.choice((1, 1, 2, 2, 4))), ("die", rng.choice((1, 1, 1, 2, 4))),
                  ("l3", rng.choice((1, 1, 2, 4, 8))), ("cluster", rng.choice((1, 1, 1, 2, 4))),
                  ("core", rng.choice((1, 2, 3, 4, 6, 8, 10, 14))),
                  ("thread", rng.choice((1, 2, 2, 2, 4)))]  # fmt: skip
        count = math.prod(number for _, number in counts)
        if min_cpus <= count <= max_cpus:
            break
    levels: list[tuple[str, Labels]] = []
    parts = 1
    for name, number in counts[:-1]:
        parts *= number
        if 1 < parts < count and number > 1:
            levels.insert(0, (name, _split(count, parts)))
    steps = [_log_uniform(rng, 4, 14)]
    for _ in levels:
        steps.append(steps[-1] * _log_uniform(rng, 1.15, 5))
    wobble = [rng.choice((0.0, 0.03, 0.06, 0.12)) for _ in steps]
    latency = _between_groups(rng, count, levels, steps, wobble)
    home = None
    if levels and levels[-1][0] in ("package", "die") and len(levels) > 1 and rng.random() < 0.3:
        home = (levels[-1][0], rng.randrange(max(levels[-1][1]) + 1))
        latency = _homed(rng, latency, levels, home[1], steps[-1])
    return Shape("nested", tuple(levels), latency, home)


def _between_groups(
    rng: Random, count: int, levels: list[tuple[str, Labels]], steps: list[float], wobble: list[float]
) -> tuple[tuple[float, ...], ...]:
    factors: dict[tuple[int, int, int], float] = {}

    def latency_ns(i: int, j: int) -> float:
        depth = next((d for d, (_, labels) in enumerate(levels) if labels[i] == labels[j]), len(levels))
        if depth == 0:
            return steps[0]
        inner = levels[depth - 1][1]
        key = (depth, min(inner[i], inner[j]), max(inner[i], inner[j]))
        factor = factors.setdefault(key, 1 + rng.uniform(-1, 1) * wobble[depth])
        return steps[depth] * factor

    return _table(count, latency_ns)


def _homed(
    rng: Random,
    latency: tuple[tuple[float, ...], ...],
    levels: list[tuple[str, Labels]],
    home: int,
    far: float,
) -> tuple[tuple[float, ...], ...]:
    """What is not on the home package looks as far as another package, once it leaves its own L3 domain."""
    wide, close = levels[-1][1], levels[-2][1]
    extra = far * rng.choice((1.0, 1.0, 1.05, 1.45))

    def latency_ns(i: int, j: int) -> float:
        elsewhere = wide[i] == wide[j] != home
        return max(extra, latency[i][j]) if elsewhere and close[i] != close[j] else latency[i][j]

    return _table(len(latency), latency_ns)


def mesh(rng: Random, max_cpus: int = 256) -> Shape:
    """A grid; latency grows with hops, up to several times. Two CPUs may share a stop: up to two hops less."""
    width, height = rng.randint(2, 10), rng.randint(2, 10)
    per_stop = rng.choice((1, 1, 2, 2))
    if width * height * per_stop > max_cpus:
        return mesh(rng, max_cpus)
    base, hop, leaving = _log_uniform(rng, 20, 80), rng.uniform(0.02, 0.25), rng.uniform(-0.5, 1.0)
    places = [(x, y) for y in range(height) for x in range(width) for _ in range(per_stop)]

    def latency_ns(i: int, j: int) -> float:
        hops = abs(places[i][0] - places[j][0]) + abs(places[i][1] - places[j][1])
        return base * (1 + hop * (hops + (leaving if hops else 0.0)))

    return Shape("mesh", (), _table(len(places), latency_ns))


def ring(rng: Random, max_cpus: int = 256) -> Shape:
    """One ring a package, perhaps two rings joined by a bridge (no level: it is a continuum), SMT perhaps."""
    cores, threads, packages = rng.randint(4, 18), rng.choice((1, 2, 2)), rng.choice((1, 1, 2, 4))
    count = cores * threads * packages
    if count > max_cpus:
        return ring(rng, max_cpus)
    core, package = _split(count, cores * packages), _split(count, packages)
    near = _log_uniform(rng, 4, 12)
    base, hop = near * _log_uniform(rng, 1.6, 6), rng.uniform(0.01, 0.05)
    bridge, far = rng.choice((0.0, 0.0, 0.08)), _log_uniform(rng, 1.4, 4)

    def latency_ns(i: int, j: int) -> float:
        if core[i] == core[j]:
            return near
        a, b = core[i] % cores, core[j] % cores
        way = min(abs(a - b), cores - abs(a - b))
        crosses = (a < cores / 2) != (b < cores / 2)
        inside = base * (1 + hop * way + (bridge if crosses else 0))
        return inside if package[i] == package[j] else inside * far

    levels = [("core", core)] if threads > 1 else []
    levels += [("package", package)] if packages > 1 else []
    return Shape("ring", tuple(levels), _table(count, latency_ns))


def hybrid(rng: Random, max_cpus: int = 256) -> Shape:
    """P cores with SMT, E cores in clusters of four: nearer or farther inside a cluster than across."""
    del max_cpus
    p_cores, clusters = rng.choice((2, 4, 6, 8)), rng.randint(1, 4)
    count = 2 * p_cores + 4 * clusters
    core = tuple(cpu // 2 if cpu < 2 * p_cores else cpu for cpu in range(count))
    cluster = tuple(
        cpu // 2 if cpu < 2 * p_cores else 1000 + (cpu - 2 * p_cores) // 4 for cpu in range(count)
    )
    near = _log_uniform(rng, 4, 10)
    p_p = near * rng.uniform(3, 8)
    p_e, e_e = p_p * rng.uniform(0.8, 1.2), p_p * rng.uniform(1.0, 1.6)
    inside = e_e * rng.choice((1.15, 1.25, 0.95, 0.5))
    column = [rng.uniform(0.92, 1.12) for _ in range(count)]

    def latency_ns(i: int, j: int) -> float:
        if core[i] == core[j]:
            return near
        if cluster[i] == cluster[j]:
            return inside
        kinds = (cluster[i] >= 1000) + (cluster[j] >= 1000)
        return (p_p, p_e, e_e)[kinds] * column[min(core[i], core[j])]

    return Shape("hybrid", (("core", core), ("cluster", cluster)), _table(count, latency_ns))


def clusters(rng: Random, max_cpus: int = 256) -> Shape:
    """Clusters of different sizes and speeds (phones, Apple): each has a latency of its own."""
    del max_cpus
    sizes = [rng.choice((2, 3, 4, 4, 6)) for _ in range(rng.randint(2, 4))]
    label = tuple(index for index, size in enumerate(sizes) for _ in range(size))
    own = [_log_uniform(rng, 25, 45) for _ in sizes]
    across = max(own) * _log_uniform(rng, 1.3, 4)
    factor = {(a, b): rng.uniform(0.92, 1.1) for a in range(len(sizes)) for b in range(len(sizes))}

    def latency_ns(i: int, j: int) -> float:
        a, b = sorted((label[i], label[j]))
        return own[a] if a == b else across * factor[a, b]

    return Shape("clusters", (("cluster", label),), _table(len(label), latency_ns))


def flat(rng: Random, max_cpus: int = 256) -> Shape:
    """All CPUs equally far: 2 to 64 cores behind one crossbar."""
    count = min(max_cpus, rng.choice((2, 3, 4, 6, 8, 16, 32, 64)))
    base = _log_uniform(rng, 15, 60)
    return Shape("flat", (), _table(count, lambda _i, _j: base))


FAMILIES = {
    "nested": nested,
    "mesh": mesh,
    "ring": ring,
    "hybrid": hybrid,
    "clusters": clusters,
    "flat": flat,
}
