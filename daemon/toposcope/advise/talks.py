"""Who talks to whom, by worker: what the searches for sparse communication walk along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

WeightedEdge = tuple[int, int, float]
Talks = Sequence[Sequence[tuple[int, float]]]  # of each worker: its partners and how much they talk

_OUT: Final = float("-inf")


def talks_of(workers: int, edges: Iterable[WeightedEdge]) -> Talks:
    """Both ways, several edges between two workers added up, those without weight left out."""
    talks: list[dict[int, float]] = [{} for _ in range(workers)]
    for one, other, weight in edges:
        if weight > 0:
            talks[one][other] = talks[one].get(other, 0.0) + weight
            talks[other][one] = talks[other].get(one, 0.0) + weight
    return [list(heard.items()) for heard in talks]


def cost_of(rows: Sequence[Sequence[float]], talks: Talks, places: Sequence[int]) -> float:
    """What talking costs in sum, by weight; `rows[i][j]` is what places i and j cost each other."""
    both_ways = sum(
        weight * rows[places[worker]][places[other]]
        for worker, heard in enumerate(talks)
        for other, weight in heard
    )
    return both_ways / 2


def heaviest(talks: Talks, partners: int) -> Talks:
    """Of each worker those of at most so many partners with whom it talks most, and who says so of it."""
    most = [set(sorted(heard, key=lambda one: (-one[1], one[0]))[:partners]) for heard in talks]
    for worker, heard in enumerate([set(one) for one in most]):
        for other, weight in heard:
            most[other].add((worker, weight))
    return [sorted(heard) for heard in most]


def most_talkative(talks: Talks) -> list[int]:
    """All workers, who talks most first."""
    weights = [sum(weight for _, weight in heard) for heard in talks]
    return sorted(range(len(talks)), key=lambda worker: (-weights[worker], worker))


def along(talks: Talks, first: int, placed: Iterable[int] = (), count: int | None = None) -> list[int]:
    """All workers (or `count`) but `placed`, from `first` on always who talks most with those before."""
    pull = [0.0] * len(talks)  # minus infinity for those before
    before = set(placed)
    for worker in before:
        for other, weight in talks[worker]:
            pull[other] += weight
    for worker in before:
        pull[worker] = _OUT
    enough = len(talks) - len(before) if count is None else count
    order = []
    worker = first
    while True:
        order.append(worker)
        pull[worker] = _OUT
        for other, weight in talks[worker]:
            pull[other] += weight
        if len(order) == enough:
            return order
        worker = pull.index(max(pull))
