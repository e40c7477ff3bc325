"""From an ideal machine to a matrix as somebody's tool would have written it, and to what may be asked of it.

What is required follows the rule of the published set: a true partition is *required* if no CPU has a stranger
as near as its farthest mate and the 1st percentile of strangers is at least 1.25 times the 99th of mates; else
it is *optional*. This is computed from the measured values before they are spoilt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from generators.kinds import KINDS
from generators.shapes import FAMILIES, Labels, Shape, nested
from toposcope.matrix import Matrix

Groups = frozenset[frozenset[int]]
REQUIRED_RATIO = 1.25
FLAT_RATIO = 1.2


@dataclass(frozen=True)
class Noise:
    """How it was measured. Ratios are standard deviations or shares."""

    pair_ratio: float
    cpu_ratio: float
    heavy_tails: bool
    clock_ratio: float  # the clock's grain as a share of the nearest latency; 0 = fine
    form: str  # lower | upper | full
    slow_share: float
    missing_share: float
    zero_cells: int


@dataclass(frozen=True)
class Sample:
    """A matrix and what `infer` should say of it."""

    name: str
    shape: Shape
    noise: Noise
    matrix: Matrix
    required: dict[str, Groups]
    optional: dict[str, Groups]
    verdicts: frozenset[str]


def draw_noise(rng: Random) -> Noise:
    """A way of measuring: mostly decent, now and then poor."""
    return Noise(
        pair_ratio=rng.choice((0.003, 0.01, 0.02, 0.04)),
        cpu_ratio=rng.choice((0.0, 0.0, 0.01, 0.03)),
        heavy_tails=rng.random() < 0.25,
        clock_ratio=rng.choice((0.0, 0.0, 0.0, 0.0, 0.1, 0.25)),
        form=rng.choice(("lower", "lower", "upper", "full")),
        slow_share=rng.choice((0.0, 0.01)),
        missing_share=rng.choice((0.0, 0.02)),
        zero_cells=rng.choice((0,) * 30 + (1,)),
    )


def sample(seed: int, *, large: bool = False) -> Sample:
    """The machine number `seed`: the same one each time.

    It has 2 to 128 CPUs. With `large` it has 129 to 512, every eighth 513 to 1,024.
    """
    rng = Random(f"toposcope machine {seed}")
    if large:
        low, high = (513, 1024) if seed % 8 == 7 else (129, 512)
        return measure(nested(rng, high, low), draw_noise(rng), rng, name=f"nested-{seed}")
    family = rng.choice(("nested", "nested", "nested", "mesh", *FAMILIES))
    return measure(FAMILIES[family](rng, 128), draw_noise(rng), rng, name=f"{family}-{seed}")


def kind_sample(seed: int) -> Sample:
    """The machine number `seed` of those of `kinds`, which take turns: the same one each time."""
    kind = sorted(KINDS)[seed % len(KINDS)]
    rng = Random(f"toposcope kind {seed}")
    return measure(KINDS[kind](rng), draw_noise(rng), rng, name=f"{kind}-{seed}")


def measure(shape: Shape, noise: Noise, rng: Random, *, name: str) -> Sample:
    """Measure `shape` once: noise, quantisation, spoilt pairs, shuffled ids with holes, one or both triangles."""
    values = _noisy(shape, noise, rng)
    truths = {label: groups_of(labels) for label, labels in _truths(shape).items()}
    required = {label for label, groups in truths.items() if is_required(values, groups)}
    cells = spoilt(values, noise, rng, small_pairs(truths[label] for label in required))
    is_junk = noise.zero_cells > 0 or all(cell is None for row in cells for cell in row)
    answers = frozenset({"unusable"}) if is_junk else verdicts(values, bool(required))
    count = shape.cpu_count
    ids = rng.sample(range(0, 3 * count, rng.choice((1, 3))), count)
    order = sorted(range(count), key=ids.__getitem__)
    matrix = Matrix(tuple(ids[i] for i in order), tuple(tuple(cells[i][j] for j in order) for i in order))

    def renamed(chosen: Iterable[str]) -> dict[str, Groups]:
        return {label: frozenset(frozenset(ids[i] for i in g) for g in truths[label]) for label in chosen}

    return Sample(name, shape, noise, matrix, renamed(sorted(required)),
                  renamed(sorted(set(truths) - required)), answers)  # fmt: skip


def small_pairs(partitions: Iterable[Groups]) -> set[frozenset[int]]:
    """The pairs inside groups of less than four: nobody could guess those, so they keep their values."""
    return {frozenset(pair) for groups in partitions for group in groups if len(group) < 4
            for pair in pairwise(sorted(group) + sorted(group))}  # fmt: skip


def _noisy(shape: Shape, noise: Noise, rng: Random) -> list[list[float]]:
    count = shape.cpu_count
    speed = [rng.gauss(1, noise.cpu_ratio) for _ in range(count)]
    scale = rng.choice((0.4, 1.0, 1.0, 2.7))
    nearest = min(value for i, row in enumerate(shape.latency_ns) for value in row[:i]) if count > 1 else 1.0
    grain = nearest * scale * noise.clock_ratio
    values = [[0.0] * count for _ in range(count)]
    for i in range(count):
        for j in range(count):
            if i == j:
                continue
            luck = rng.gauss(0, 1) / (max(0.3, rng.random()) if noise.heavy_tails else 1)
            value = (
                shape.latency_ns[i][j] * scale * speed[i] * speed[j] * max(0.5, 1 + noise.pair_ratio * luck)
            )
            values[i][j] = max(grain, round(value / grain) * grain) if grain else value
    for i in range(count):
        for j in range(i):
            keep = noise.form != "full"
            values[j][i] = values[i][j] if keep else values[j][i]
    return values


def spoilt(
    values: list[list[float]], noise: Noise, rng: Random, kept: set[frozenset[int]]
) -> list[list[float | None]]:
    """The cells as they were measured: one triangle or both, pairs missing or slow, but for those `kept`."""
    count = len(values)
    cells: list[list[float | None]] = [[None] * count for _ in range(count)]
    for i in range(count):
        for j in range(i):
            luck = 1.0 if frozenset((i, j)) in kept else rng.random()
            if luck < noise.missing_share:
                continue
            slow = luck < noise.missing_share + noise.slow_share
            factor = rng.uniform(1.3, 3) if slow else 1.0
            if noise.form in ("lower", "full"):
                cells[i][j] = values[i][j] * factor
            if noise.form in ("upper", "full"):
                cells[j][i] = values[j][i] * factor
    measured = [(i, j) for i in range(count) for j in range(count) if cells[i][j] is not None]
    for i, j in rng.sample(measured, min(noise.zero_cells, len(measured))):
        cells[i][j] = 0.0
    return cells


def _truths(shape: Shape) -> dict[str, Labels]:
    """The levels, and where the line was homed on one socket: that one beside the groups of any closer level.

    How close depends on what the artefact spares, which differs from machine to machine.
    """
    truths = dict(shape.levels)
    if shape.home is None:
        return truths
    name, home = shape.home
    wide = truths[name]
    if 2 * wide.count(home) >= len(wide):
        closer = [*shape.levels[:-1], ("cpu", tuple(range(len(wide))))]
        for inner, labels in closer:
            key = (
                f"home_{name}"
                if inner == closer[-2 if len(closer) > 1 else -1][0]
                else f"home_{name}_{inner}"
            )
            truths[key] = tuple(-1 if wide[i] == home else labels[i] for i in range(len(wide)))
    return truths


def groups_of(labels: Labels) -> Groups:
    """The groups of positions that labels stand for."""
    members: dict[int, set[int]] = {}
    for cpu, label in enumerate(labels):
        members.setdefault(label, set()).add(cpu)
    return frozenset(map(frozenset, members.values()))


def is_required(values: list[list[float]], groups: Groups) -> bool:
    """May a partition be asked for, by the rule of the published set?"""
    label = {cpu: index for index, group in enumerate(groups) for cpu in group}
    mates, strangers = [], []
    for i in range(len(values)):
        near = [_both(values, i, j) for j in label if j != i and label[i] == label[j]]
        far = [_both(values, i, j) for j in label if label[i] != label[j]]
        if near and far and max(near) >= min(far):
            return False
        mates += near
        strangers += far
    if not mates or not strangers:
        return False
    return _quantile(strangers, 0.01) >= REQUIRED_RATIO * _quantile(mates, 0.99)


def verdicts(values: list[list[float]], structured: bool) -> frozenset[str]:
    """Which verdicts are right; `structured`: some level is required."""
    if structured:
        return frozenset({"structured"})
    pairs = [_both(values, i, j) for i in range(len(values)) for j in range(i)]
    ratio = _quantile(pairs, 0.95) / _quantile(pairs, 0.05)
    if abs(ratio / FLAT_RATIO - 1) < 0.05:
        return frozenset({"flat", "continuum"})
    return frozenset({"flat" if ratio <= FLAT_RATIO else "continuum"})


def _both(values: list[list[float]], i: int, j: int) -> float:
    return (values[i][j] + values[j][i]) / 2


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
