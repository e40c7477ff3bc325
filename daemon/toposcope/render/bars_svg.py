"""Ratios as bars with their 95 % intervals, on one logarithmic axis around 1; pure.

Right of 1 is what the claim says, left of it the opposite; the tick across the bar is the threshold from
which on the claim holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.render import svg
from toposcope.render.scale import number

_DECADES_MAX: Final = 4  # on either side of 1; a bar that is longer ends in the frame
_ROW_PX: Final = 26
_LABEL_PX: Final = 250
_BAR_PX: Final = 300
_MINI_HEIGHT: Final = 18
_VALUE_PX: Final = 190


@dataclass(frozen=True, slots=True)
class Bar:
    """One ratio; `value` None where there is none, `kind` is a class (confirmed, refuted, inconclusive)."""

    label: str
    kind: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None


class Axis:
    """From a ratio to pixels: whole powers of ten on both sides of 1, as far as the bars reach."""

    def __init__(self, bars: Iterable[Bar], width_px: float) -> None:
        values = [v for bar in bars for v in (bar.value, bar.low, bar.high) if v is not None and v > 0]
        logs = [math.log10(value) for value in values]
        self.left = max(math.floor(min([*logs, -0.3])), -_DECADES_MAX)
        self.right = min(math.ceil(max([*logs, 0.3])), _DECADES_MAX)
        self._width_px = width_px

    def x(self, ratio: float) -> float:
        """Where a ratio lies; what is not positive lies at the left end."""
        log = math.log10(ratio) if ratio > 0 else float(self.left)
        share = (min(max(log, self.left), self.right) - self.left) / (self.right - self.left)
        return round(share * self._width_px, 1)

    @property
    def ticks(self) -> Sequence[float]:
        """The powers of ten in it."""
        return [10.0**exponent for exponent in range(self.left, self.right + 1)]


def bars_svg(bars: Sequence[Bar], title: str, *, standalone: bool = True) -> str:
    """All bars below each other with their labels and numbers, ending in a newline."""
    axis = Axis(bars, _BAR_PX)
    height = 56 + _ROW_PX * len(bars) + 34
    body = [svg.text(12, 24, title, "head")]
    bottom = 44 + _ROW_PX * len(bars)
    for tick in axis.ticks:
        x = _LABEL_PX + axis.x(tick)
        body.append(f'<path class="line" d="M{x:g} 40V{bottom:g}"/>')
        body.append(svg.text(x, bottom + 16, f"{tick:g}×", "soft mid"))
    for row, bar in enumerate(bars):
        y = 44 + row * _ROW_PX
        body.append(svg.text(_LABEL_PX - 10, y + 15, bar.label, "end"))
        body += _drawn(bar, axis, _LABEL_PX, y + 4)
        body.append(svg.text(_LABEL_PX + _BAR_PX + 12, y + 15, says(bar)))
    return svg.document(_LABEL_PX + _BAR_PX + _VALUE_PX, height, title, body, standalone=standalone)


def mini_bar(bar: Bar, axis: Axis, width_px: float) -> str:
    """One bar for a table's cell that says the numbers itself; nothing for screen readers."""
    one = axis.x(1)
    parts = [f'<path class="line" d="M{one:g} 0V{_MINI_HEIGHT}"/>', *_drawn(bar, axis, 0, 1)]
    size = f'width="{width_px:g}" height="{_MINI_HEIGHT}" viewBox="0 0 {width_px:g} {_MINI_HEIGHT}"'
    return f'<svg class="pic" aria-hidden="true" {size}>{"".join(parts)}</svg>'


def says(bar: Bar) -> str:
    """The bar in words: `3.2 (2.9 to 3.6), confirmed`."""
    if bar.value is None:
        return bar.kind.replace("_", " ")
    interval = "" if bar.low is None or bar.high is None else f" ({number(bar.low)} to {number(bar.high)})"
    return f"{number(bar.value)}{interval}, {bar.kind.replace('_', ' ')}"


def _drawn(bar: Bar, axis: Axis, left: float, top: float) -> Iterator[str]:
    if bar.value is None:
        return
    start, end = sorted((axis.x(1), axis.x(bar.value)))
    yield (f'<rect class="{bar.kind}" x="{left + start:g}" y="{top + 2:g}" '
           f'width="{max(end - start, 1):g}" height="12"/>')  # fmt: skip
    if bar.low is not None and bar.high is not None:
        low, high = left + axis.x(bar.low), left + axis.x(bar.high)
        yield f'<path class="mark solid" d="M{low:g} {top + 4:g}v8M{low:g} {top + 8:g}H{high:g}m0 -4v8"/>'
    if bar.threshold is not None and bar.threshold > 0:
        yield f'<path class="mark" d="M{left + axis.x(bar.threshold):g} {top:g}v16"/>'
