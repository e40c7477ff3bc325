"""The colours and shades of heat maps: viridis in steps, over a logarithmic scale; pure.

Viridis (van der Walt and Smith, SciPy 2015) is perceptually even, stays in order in greyscale print and for
the common kinds of colour blindness. Latencies span orders of magnitude, hence the logarithm.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# From near to far; of the first ones light text is readable on, of the others dark text (WCAG 4.5:1).
COLOURS: Final = ("#440154", "#482173", "#433e85", "#38588c", "#2d708e", "#25858e",
                  "#1e9b8a", "#2ab07f", "#52c569", "#86d549", "#c2df23", "#fde725")  # fmt: skip
LIGHT_TEXT_STEPS: Final = 5
# A scale spans at least this ratio, so that noise doesn't look like structure …
_RATIO_MIN: Final = 1.5
# … and at most this one, so that a cell which read a thousandth of the others doesn't hide all else.
_RATIO_MAX: Final = 512.0
# Cells beyond this many times the 99th percentile are outliers: they take the last step.
_OUTLIER_RATIO: Final = 2.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Steps of equal ratio. `edges` has one more entry than there are steps, ascending."""

    edges: tuple[float, ...]

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.edges) - 1

    def step(self, value: float) -> int:
        """The step of a value, from 0; what lies outside takes the first or last one."""
        return bisect.bisect_right(self.edges, value, 1, len(self.edges) - 1) - 1

    def steps_of(self, values: Iterable[float | None]) -> list[int | None]:
        """The step of each value, None where there is none; a quarter of a million take 50 ms."""
        find, edges, last = bisect.bisect_right, self.edges, len(self.edges) - 1
        return [None if value is None else find(edges, value, 1, last) - 1 for value in values]


def scale_of(values: Iterable[float], steps: int = len(COLOURS)) -> Scale | None:
    """The scale that shows these values in `steps` steps; None where no value is positive."""
    known = sorted(value for value in values if value > 0)
    if not known:
        return None
    high = min(known[-1], _OUTLIER_RATIO * known[len(known) * 99 // 100])
    low = max(known[0], high / _RATIO_MAX)
    if high / low < _RATIO_MIN:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(_RATIO_MIN), middle * math.sqrt(_RATIO_MIN)
    return Scale(tuple(low * (high / low) ** (step / steps) for step in range(steps + 1)))


def text_class(step: int) -> str:
    """The class of text that is readable on a step's colour."""
    return "on-dark" if step < LIGHT_TEXT_STEPS else "on-light"


def number(value: float) -> str:
    """A value in three significant digits, never with an exponent where people read ns."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
