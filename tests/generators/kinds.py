"""Machines as they are built and sold: sockets, meshes, chiplets, hybrids, phones, boards, slices of them.

`shapes` draws steps of any size between levels; here the steps, the effects of place and the artefacts are
those of a kind of machine, each varied beyond the models that exist. A kind is a function of a random generator
that gives places and what a line costs between two of them; `_shape` makes levels and latencies of that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from generators.shapes import Labels, Shape

_LEVELS: Final = ("core", "cluster", "l3", "die", "package", "board")


@dataclass(frozen=True)
class Place:
    """Where a CPU sits: numbers of the groups that hold it, and a position on its die in hops.

    `kind` tells P cores (0) from E cores (1, in clusters) and low-power ones (2, on a die of their own).
    """

    package: int
    die: int
    l3: int
    cluster: int
    core: int
    x: float = 0.0
    y: float = 0.0
    kind: int = 0
    board: int = 0


Cost = Callable[[Place, Place], float]
Wiring = list[list[int]]  # links between two packages


def _group(place: Place, level: str) -> tuple[int, ...]:
    inside = _LEVELS[_LEVELS.index(level) :]
    return tuple(getattr(place, name) for name in reversed(inside))


def _labels(places: Sequence[Place], level: str) -> Labels:
    numbers: dict[tuple[int, ...], int] = {}
    return tuple(numbers.setdefault(_group(place, level), len(numbers)) for place in places)


def _same(a: Place, b: Place, level: str) -> bool:
    return _group(a, level) == _group(b, level)


def _shape(
    family: str, rng: Random, places: list[Place], cost: Cost, home: tuple[str, int] | None = None
) -> Shape:
    """Levels that divide the machine, the wider name of equal ones, and the latencies with wander of place."""
    levels: dict[Labels, str] = {}
    for level in _LEVELS:
        labels = _labels(places, level)
        if 1 < max(labels) + 1 < len(places):
            levels[labels] = level
    ordered = sorted(((name, labels) for labels, name in levels.items()),
                     key=lambda level: _LEVELS.index(level[0]))  # fmt: skip
    of_core, of_pair = rng.choice((0.0, 0.01, 0.03)), rng.choice((0.0, 0.01, 0.03, 0.06))
    cores = _labels(places, "core")
    speed = [rng.gauss(1, of_core) for _ in places]
    pairs: dict[tuple[int, int], float] = {}
    rows = [[0.0] * len(places) for _ in places]
    for i, a in enumerate(places):
        for j in range(i):
            first, second = sorted((cores[i], cores[j]))
            # Two cores always use the same slice of a cache for one line, whichever threads it are.
            if (first, second) not in pairs:
                pairs[first, second] = max(0.7, rng.gauss(1, of_pair if first != second else of_pair / 4))
            wander = pairs[first, second] * speed[cores[i]] * speed[cores[j]]
            rows[i][j] = rows[j][i] = cost(a, places[j]) * wander
    if not ordered or home is None or ordered[-1][0] != home[0]:
        home = None
    return Shape(family, tuple(ordered), tuple(map(tuple, rows)), home)


def _uniform(rng: Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _hops(a: Place, b: Place) -> float:
    return abs(a.x - b.x) + abs(a.y - b.y)


def _wiring(rng: Random, sockets: int) -> Wiring:
    """How many links lie between sockets: all joined, or a ring of four, or eight in a twisted cube or boards."""
    hops = [[int(a != b) for b in range(sockets)] for a in range(sockets)]
    wiring = rng.choice(("all", "few"))
    for a in range(sockets):
        for b in range(sockets):
            if wiring == "few" and sockets == 4:
                hops[a][b] = min((a - b) % 4, (b - a) % 4)
            elif wiring == "few" and sockets == 8:
                hops[a][b] = min((a - b) % 8, (b - a) % 8, 3)
            elif sockets == 8 and a != b:
                hops[a][b] = 1 if (a // 4 == b // 4) else 2
    return hops


def _board(hops: Wiring, package: int) -> int:
    """The board of a package: four on each of two, where those four are all joined and eight are not."""
    return package // 4 if len(hops) == 8 and hops[0][3] == 1 else 0


def _between_packages(
    rng: Random, inside: Cost, far: float, hops: Wiring
) -> tuple[Cost, tuple[str, int] | None]:
    """The cost with packages, and the one that held the shared line where that artefact is in."""
    sockets, further = len(hops), rng.uniform(1.08, 1.6)
    home = rng.randrange(sockets) if sockets > 1 and rng.random() < 0.3 else None
    detour = rng.choice((1.0, 1.0, 1.05, 1.45))

    def link(a: int, b: int) -> float:
        return far * further ** (hops[a][b] - 1)

    def cost(a: Place, b: Place) -> float:
        if a.package != b.package:
            direct = link(a.package, b.package) * (1 + 0.01 * (a.y + b.y))
            via = [link(each.package, home) for each in (a, b) if home is not None and each.package != home]
            return max(direct, *via) if via else direct
        own = inside(a, b)
        if home is not None and a.package != home and not _same(a, b, "l3"):
            return max(own, link(a.package, home) * detour)
        if home is not None and a.package != home and _one_l3(a, b):
            return max(own, link(a.package, home) * detour)
        return own

    def _one_l3(a: Place, b: Place) -> bool:
        return a.l3 < 0 and not _same(a, b, "core")

    return cost, None if home is None else ("package", home)


def _grid(rng: Random, count: int) -> list[tuple[int, int]]:
    """Stops of a mesh, some of which were switched off at the factory."""
    width = max(2, round(math.sqrt(count) * rng.uniform(0.8, 1.4)))
    height = -(-count // width) + rng.choice((0, 1))
    stops = [(x, y) for y in range(height) for x in range(width)]
    return sorted(rng.sample(stops, count), key=lambda stop: (stop[1], stop[0]))


def server_mesh(rng: Random) -> Shape:
    """One to eight sockets, each a mesh or a ring behind one L3, perhaps in sub-NUMA clusters."""
    sockets, threads = rng.choice((1, 1, 2, 2, 2, 4, 8)), rng.choice((1, 2, 2))
    cores = rng.choice((4, 6, 8, 10, 12, 14, 16, 18, 24, 28, 32, 40))
    cores = max(2, min(cores, 256 // (sockets * threads)))
    parts = rng.choice((1, 1, 1, 2, 4)) if cores >= 8 else 1
    places, hops = [], _wiring(rng, sockets)
    for package in range(sockets):
        stops = _grid(rng, cores)
        places += [Place(package, core * parts // cores, -1, core, core, *stops[core], board=_board(hops, package))
                   for core in range(cores) for _ in range(threads)]  # fmt: skip
    near, base, hop = _uniform(rng, 4, 13), _uniform(rng, 30, 70), rng.uniform(0.0, 2.5)
    between = rng.choice((1.0, 1.03, 1.1, 1.2))

    def inside(a: Place, b: Place) -> float:
        if _same(a, b, "core"):
            return near
        return (base + hop * _hops(a, b)) * (between if a.die != b.die else 1.0)

    cost, home = _between_packages(rng, inside, base * _uniform(rng, 1.7, 4.5), hops)
    return _shape("server_mesh", rng, places, cost, home)


def chiplets(rng: Random) -> Shape:
    """One or two sockets of dies of one or two L3 domains, 2 to 16 cores each, around a hub of four corners."""
    sockets, threads, per_die = rng.choice((1, 1, 2)), rng.choice((1, 2, 2)), rng.choice((1, 1, 2))
    cores = rng.choice((2, 3, 4, 4, 6, 6, 8, 8, 8, 12, 16))
    dies = rng.choice((1, 2, 2, 3, 4, 6, 8, 12))
    while sockets * threads * per_die * cores * dies > 256 or per_die * dies == 1:
        dies, sockets = rng.choice((1, 2, 2, 4, 6, 8)), rng.choice((1, 1, 2))
        per_die, cores = rng.choice((1, 2)), rng.choice((2, 3, 4, 6, 8))
    uneven = rng.random() < 0.1  # cores switched off, not the same number everywhere
    places = [
        Place(package, die, l3, core, core, (die * 4 // dies) % 2 * 1.0, (die * 4 // dies) // 2 * 1.0)
        for package in range(sockets) for die in range(dies) for l3 in range(per_die)
        for core in range(cores - (uneven and cores > 2 and rng.random() < 0.3))
        for _ in range(threads)
    ]  # fmt: skip
    near, l3_ns = _uniform(rng, 6, 12), _uniform(rng, 16, 48)
    near = l3_ns * rng.uniform(0.8, 0.95) if rng.random() < 0.15 else min(near, l3_ns / 1.4)
    ring, die_ns = rng.uniform(0, 0.04), max(l3_ns * 1.5, _uniform(rng, 70, 220))
    same_die, corner = rng.choice((1.0, 1.0, 1.0, 0.9, 0.6)), rng.choice((0.0, 0.03, 0.07, 0.12))

    def inside(a: Place, b: Place) -> float:
        if _same(a, b, "core"):
            return near
        if _same(a, b, "l3"):
            apart = abs(a.core - b.core)
            return l3_ns * (1 + ring * min(apart, cores - apart))
        return max(l3_ns, die_ns * (same_die if a.die == b.die else 1 + corner * _hops(a, b)))

    cost, home = _between_packages(rng, inside, die_ns * _uniform(rng, 1.25, 2.6), _wiring(rng, sockets))
    return _shape("chiplets", rng, places, cost, home)


def client_ring(rng: Random) -> Shape:
    """2 to 12 cores on a ring, with or without SMT; the lines between them hashed to slices."""
    cores, threads = rng.choice((2, 4, 4, 6, 8, 8, 10, 12)), rng.choice((1, 2, 2))
    places = [Place(0, 0, 0, core, core) for core in range(cores) for _ in range(threads)]
    near, base, hop = _uniform(rng, 4, 10), _uniform(rng, 17, 50), rng.choice((0.0, 0.01, 0.03, 0.06))

    def cost(a: Place, b: Place) -> float:
        apart = abs(a.core - b.core)
        return base * (1 + hop * min(apart, cores - apart)) if apart else near

    return _shape("client_ring", rng, places, cost)


def hybrid(rng: Random) -> Shape:
    """P cores with or without SMT, clusters of four E cores, perhaps two low-power ones on a tile of their own."""
    threads, p_cores, clusters = rng.choice((1, 2, 2)), rng.choice((1, 2, 4, 6, 8)), rng.randint(1, 4)
    places = [Place(0, 0, 0, core, core) for core in range(p_cores) for _ in range(threads)]
    places += [Place(0, 0, 0, 100 + number, 100 + 4 * number + core, kind=1)
               for number in range(clusters) for core in range(4)]  # fmt: skip
    places += [Place(0, 1, 1, 200, 200 + core, kind=2) for core in range(rng.choice((0, 0, 2)))]
    near, p_p = _uniform(rng, 4, 11), _uniform(rng, 25, 100)
    p_e, e_e = p_p * rng.uniform(0.8, 1.3), p_p * rng.uniform(0.9, 1.6)
    inside, island = e_e * rng.choice((1.15, 1.25, 1.0, 0.9, 0.6, 0.4)), p_p * rng.uniform(1.5, 3.5)
    low_power = island * rng.choice((0.5, 0.8, 1.1))
    column: dict[int, float] = {}

    def cost(a: Place, b: Place) -> float:
        if a.core == b.core:
            return near
        if 2 in (a.kind, b.kind):
            return low_power if a.kind == b.kind else island
        if a.cluster == b.cluster:
            return inside
        stop = column.setdefault(min(a.core, b.core), rng.uniform(0.92, 1.12))
        return (p_p, p_e, e_e)[a.kind + b.kind] * stop

    return _shape("hybrid", rng, places, cost)


def arm_server(rng: Random) -> Shape:
    """A flat mesh of single cores or of pairs at one stop, in one or two packages."""
    sockets, per_stop = rng.choice((1, 1, 1, 2)), rng.choice((1, 1, 2))
    stops = rng.choice((8, 16, 24, 32, 40, 64, 96, 128)) // per_stop // sockets
    places = []
    for package in range(sockets):
        grid = _grid(rng, stops)
        places += [Place(package, 0, -1, stop, per_stop * stop + core, *grid[stop])
                   for stop in range(stops) for core in range(per_stop)]  # fmt: skip
    base, hop, leaving = _uniform(rng, 28, 150), rng.uniform(0.01, 0.16), rng.uniform(-0.3, 2.0)

    def inside(a: Place, b: Place) -> float:
        hops = _hops(a, b)
        return base * (1 + hop * (hops + (leaving if hops else 0.0)))

    far = base * (1 + 8 * hop) * _uniform(rng, 1.5, 5)
    cost, home = _between_packages(rng, inside, far, _wiring(rng, sockets))
    return _shape("arm_server", rng, places, cost, home)


def arm_clusters(rng: Random) -> Shape:
    """Clusters of 2 to 8 cores, of which several make a die, dies a package; each step from none to large."""
    sockets, dies = rng.choice((1, 1, 2)), rng.choice((1, 1, 2))
    clusters, cores = rng.choice((2, 4, 6, 8, 12)), rng.choice((2, 2, 4, 4, 6, 8))
    places = [Place(package, die, 0, cluster, cluster * cores + core, cluster % 3, cluster // 3)
              for package in range(sockets) for die in range(dies)
              for cluster in range(clusters) for core in range(cores)][:256]  # fmt: skip
    base = _uniform(rng, 15, 70)
    across = base * rng.choice((1.05, 1.3, 1.6, 2.5, 4.0)) * rng.uniform(0.95, 1.1)
    dies_ns, hop = across * _uniform(rng, 1.1, 2.8), rng.choice((0.0, 0.02, 0.05))

    def inside(a: Place, b: Place) -> float:
        if _same(a, b, "cluster"):
            return base
        return dies_ns if a.die != b.die else across * (1 + hop * _hops(a, b))

    cost, home = _between_packages(rng, inside, dies_ns * _uniform(rng, 1.2, 3), _wiring(rng, sockets))
    return _shape("arm_clusters", rng, places, cost, home)


def phone(rng: Random) -> Shape:
    """Clusters of unequal size and speed, one of them perhaps a single prime core."""
    sizes = rng.choice(
        ((4, 4), (4, 3, 1), (2, 6), (1, 3, 4), (6, 2), (2, 4, 4), (4, 4, 4), (4, 6), (2, 5, 5), (2, 3, 3))
    )
    places = [Place(0, 0, number, number, 10 * number + core)
              for number, size in enumerate(sizes) for core in range(size)]  # fmt: skip
    own = [_uniform(rng, 25, 60) for _ in sizes]
    across = max(own) * rng.choice((1.3, 1.5, 2.0, 3.0)) * rng.uniform(0.95, 1.1)
    factor: dict[tuple[int, int], float] = {}

    def cost(a: Place, b: Place) -> float:
        if a.cluster == b.cluster:
            return own[a.cluster]
        key = (min(a.cluster, b.cluster), max(a.cluster, b.cluster))
        return across * factor.setdefault(key, rng.uniform(0.92, 1.12))

    return _shape("phone", rng, places, cost)


def wide_smt(rng: Random) -> Shape:
    """Cores of four or eight threads, pairs of them behind one cache, on a chip or two in each package."""
    sockets, chips, cores = rng.choice((1, 2, 2, 4)), rng.choice((1, 1, 2)), rng.choice((4, 6, 8, 10))
    threads, paired = rng.choice((4, 8)), rng.random() < 0.6
    while sockets * chips * cores * threads > 256:
        sockets, cores, threads = max(1, sockets // 2), max(4, cores - 2), 4
    places = [Place(package, chip, core // 2 if paired else -1, core, core)
              for package in range(sockets) for chip in range(chips)
              for core in range(cores) for _ in range(threads)]  # fmt: skip
    near = _uniform(rng, 5, 14)
    pair = near * _uniform(rng, 1.2, 3)
    chip_ns = pair * _uniform(rng, 1.2, 4)
    package_ns = chip_ns * rng.choice((1.0, _uniform(rng, 1.15, 2)))

    def inside(a: Place, b: Place) -> float:
        if _same(a, b, "core"):
            return near
        if paired and _same(a, b, "l3"):
            return pair
        return chip_ns if a.die == b.die else package_ns

    cost, home = _between_packages(rng, inside, package_ns * _uniform(rng, 1.4, 3.5), _wiring(rng, sockets))
    return _shape("wide_smt", rng, places, cost, home)


def tiny(rng: Random) -> Shape:
    """2 to 6 CPUs of anything: what small clouds and single-board computers have."""
    whole = rng.choice((client_ring, chiplets, arm_clusters, phone, hybrid, server_mesh))
    return part_of(rng, whole(rng), rng.randint(2, 6), "tiny")


def slice_of(rng: Random) -> Shape:
    """The CPUs of a cpuset, or the cores that a cloud gave to a guest: any part of a machine."""
    whole = rng.choice((server_mesh, chiplets, hybrid, arm_server, arm_clusters, wide_smt))(rng)
    return part_of(rng, whole, rng.randint(3, max(3, whole.cpu_count)), "slice")


def part_of(rng: Random, whole: Shape, count: int, family: str) -> Shape:
    """So many CPUs of a machine: neighbours, or drawn at random."""
    count = min(count, whole.cpu_count)
    first = rng.randrange(whole.cpu_count - count + 1)
    at_random = sorted(rng.sample(range(whole.cpu_count), count))
    kept = at_random if rng.random() < 0.4 else list(range(first, first + count))
    levels = [(name, tuple(labels[i] for i in kept)) for name, labels in whole.levels]
    divided = tuple((name, labels) for name, labels in levels if 1 < len(set(labels)) < count)
    home = whole.home if whole.home and divided and divided[-1][0] == whole.home[0] else None
    return Shape(family, divided, tuple(tuple(whole.latency_ns[i][j] for j in kept) for i in kept), home)


KINDS: Final[dict[str, Callable[[Random], Shape]]] = {
    "server_mesh": server_mesh,
    "chiplets": chiplets,
    "client_ring": client_ring,
    "hybrid": hybrid,
    "arm_server": arm_server,
    "arm_clusters": arm_clusters,
    "phone": phone,
    "wide_smt": wide_smt,
    "tiny": tiny,
    "slice": slice_of,
}
