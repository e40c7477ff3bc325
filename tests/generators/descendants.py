"""Parts of published machines with other steps between their levels: real noise and places, on other machines.

A descendant keeps some groups, cores or neighbours of a published machine, moves the medians of its levels apart or
together, and makes what pairs differ by from these medians smaller or larger. What is required of it is computed
anew by the published rule.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from random import Random

from generators import measured
from generators.measured import Groups, Noise, Sample
from generators.shapes import Labels, Shape
from toposcope.matrix import Matrix

Levels = dict[str, list[list[int]]]


@dataclass(frozen=True)
class Published:
    """A published matrix and its true levels, required and optional ones, by name."""

    name: str
    matrix: Matrix
    truths: Levels


def descendant(parent: Published, seed: int) -> Sample:
    """The descendant number `seed` of a machine: the same one each time."""
    rng = Random(f"descendant {seed} of {parent.name}")
    cpus = parent.matrix.cpus
    levels = sorted(((name, _labels(groups, cpus)) for name, groups in parent.truths.items()),
                    key=lambda level: -len(set(level[1])))  # fmt: skip
    kept = _kept(rng, levels, len(cpus))
    values, unknown = _restepped(rng, parent.matrix, [labels for _, labels in levels], kept)
    truths = {name: measured.groups_of(tuple(labels[i] for i in kept)) for name, labels in levels}
    truths = {name: groups for name, groups in truths.items() if 1 < len(groups) < len(kept)}
    required = {name for name, groups in truths.items() if _is_required(name, groups, values)}
    noise = Noise(0.0, 0.0, False, 0.0, rng.choice(("lower", "full")), rng.choice((0.0, 0.01)),
                  rng.choice((0.0, 0.02)), 0)  # fmt: skip
    spared = measured.small_pairs(truths[name] for name in required)
    cells = measured.spoilt(values, noise, rng, spared)
    for i, j in unknown:
        cells[i][j] = cells[j][i] = None
    shape = Shape("descendant", (), tuple(map(tuple, values)))
    return Sample(f"{parent.name}-{seed}", shape, noise, Matrix(tuple(range(len(kept))), tuple(map(tuple, cells))),
                  {name: truths[name] for name in sorted(required)},
                  {name: truths[name] for name in sorted(truths.keys() - required)},
                  measured.verdicts(values, bool(required)))  # fmt: skip


def _labels(groups: list[list[int]], cpus: tuple[int, ...]) -> Labels:
    home = {cpu: index for index, group in enumerate(groups) for cpu in group}
    return tuple(home[cpu] for cpu in cpus)


def _kept(rng: Random, levels: list[tuple[str, Labels]], count: int) -> list[int]:
    """Which CPUs there are: all, some groups of a level, whole cores at random, or neighbours."""
    how = rng.choice(("all", "groups", "groups", "neighbours", "cores"))
    if how == "neighbours":
        number = rng.randint(min(4, count), count)
        first = rng.randrange(count - number + 1)
        return list(range(first, first + number))
    if how == "all" or not levels:
        return list(range(count))
    labels = levels[0][1] if how == "cores" else rng.choice(levels)[1]
    groups = sorted(set(labels))
    least = len(groups) // (2 if how == "cores" else 3)
    chosen = set(rng.sample(groups, rng.randint(max(1, least), len(groups))))
    kept = [cpu for cpu in range(count) if labels[cpu] in chosen]
    return kept if len(kept) > 1 else list(range(count))


def _restepped(
    rng: Random, matrix: Matrix, levels: list[Labels], kept: list[int]
) -> tuple[list[list[float]], list[tuple[int, int]]]:
    """(values of all pairs that are kept, those of them that were not measured and stand at their median)"""
    cells = matrix.symmetric()
    classes: dict[tuple[bool, ...], list[float]] = {}
    pairs = [(i, j) for i in range(len(kept)) for j in range(i)]

    def class_of(i: int, j: int) -> tuple[bool, ...]:
        return tuple(labels[kept[i]] != labels[kept[j]] for labels in levels)

    for i, j in pairs:
        value = cells[kept[i]][kept[j]]
        if value is not None:
            classes.setdefault(class_of(i, j), []).append(math.log(value))
    medians = {key: statistics.median(logs) for key, logs in classes.items()}
    moved = _moved(rng, medians)
    residual = rng.choice((1.0, 1.0, 0.5, 1.5))
    values = [[0.0] * len(kept) for _ in kept]
    unknown = []
    for i, j in pairs:
        key, value = class_of(i, j), cells[kept[i]][kept[j]]
        if value is None:
            unknown.append((i, j))
        offset = 0.0 if value is None else (math.log(value) - medians[key]) * residual
        values[i][j] = values[j][i] = math.exp(moved.get(key, 3.0) + offset)
    return values, unknown


def _moved(rng: Random, medians: dict[tuple[bool, ...], float]) -> dict[tuple[bool, ...], float]:
    """The classes' medians with each step between two of them 0.4 to 1.6 times as large, or as they are."""
    ordered = sorted(medians.items(), key=lambda item: item[1])
    is_moved = rng.random() < 0.6
    moved: dict[tuple[bool, ...], float] = {}
    before = now = ordered[0][1] if ordered else 0.0
    for key, median in ordered:
        now += (median - before) * (rng.uniform(0.4, 1.6) if is_moved else 1)
        before = median
        moved[key] = now
    return moved


def _is_required(name: str, groups: Groups, values: list[list[float]]) -> bool:
    if name.startswith("home_") and 2 * max(map(len, groups)) < len(values):
        return False
    return measured.is_required(values, groups)
