"""How much better than what the scheduler would do.

Linux's scheduler knows nothing of who talks to whom: a waking thread goes to an idle core, and without any
other load one place is as good to it as another (Documentation/scheduler/sched-domains.rst;
select_idle_sibling in kernel/sched/fair.c). So its default is taken to be the mean over random placements,
a core each while there are cores. That is a model, not a measurement; the interval is its spread, widened
by the measurement's own error.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_DRAWS_MAX: Final = 200
_DRAWS_MIN: Final = 12
_WORK_PAIRS: Final = 30_000  # about 3 ms
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Gain:
    """The default's cost over the advised one: 1.25 means that the default costs a quarter more."""

    ratio: float
    low: float
    high: float


def default_costs(cores: Sequence[int], count: int, cost: Callable[[Sequence[int]], float]) -> list[float]:
    """What random placements of `count` workers cost, ascending; `cores[i]` is the core of position i."""
    source = random.Random(_SEED)
    threads = _threads(cores)
    pairs = max(1, count * (count - 1) // 2)
    draws = max(_DRAWS_MIN, min(_DRAWS_MAX, _WORK_PAIRS // pairs))
    return sorted(cost(_random_placement(threads, count, source)) for _ in range(draws))


def gain_over_default(best: float, costs: Sequence[float], error_ratio: float) -> Gain | None:
    """The gain of what costs `best` over defaults that cost `costs`: mean, 5th to 95th percentile.

    None where nothing can be gained: one worker that talks to nobody, or no cost at all.
    """
    if best <= 0:
        return None
    ratio = sum(costs) / len(costs) / best
    low, high = costs[len(costs) // 20] / best, costs[-1 - len(costs) // 20] / best
    return Gain(ratio, low * (1 - error_ratio), high * (1 + error_ratio))


def _random_placement(threads: Sequence[Sequence[int]], count: int, source: random.Random) -> list[int]:
    """A core each while there are idle ones, then second threads."""
    if count <= len(threads):
        return [source.choice(core) for core in source.sample(threads, count)]
    first = [source.choice(core) for core in threads]
    taken = set(first)
    others = [cpu for core in threads for cpu in core if cpu not in taken]
    return first + source.sample(others, count - len(first))


def _threads(cores: Sequence[int]) -> list[list[int]]:
    """The positions of each core."""
    members: dict[int, list[int]] = {}
    for position, core in enumerate(cores):
        members.setdefault(core, []).append(position)
    return list(members.values())
