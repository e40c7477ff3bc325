"""What a metric family is, and the samples that are gathered for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client.core import Metric

Kind = Literal["gauge", "counter", "info"]
_SUFFIXES: Final[Mapping[Kind, str]] = {"gauge": "", "counter": "_total", "info": "_info"}


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `stem` is the name without `_total` and `_info`; `labels` are all that may occur."""

    stem: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its samples, as queries use it."""
        return self.stem + _SUFFIXES[self.kind]


class Samples:
    """Samples by family, in the order of the families' first sample."""

    def __init__(self) -> None:
        self._found: dict[str, Metric] = {}
        self.count = 0

    def add(self, family: Family, value: float, **labels: object) -> None:
        """One sample; labels that are None or empty are left out. Unknown labels are a mistake of ours."""
        unknown = labels.keys() - set(family.labels)
        assert not unknown, f"{family.name} has no label {unknown}"
        metric = self._found.get(family.stem)
        if metric is None:
            metric = self._found[family.stem] = Metric(family.stem, family.help, family.kind)
        kept = {name: str(label) for name, label in labels.items() if label not in (None, "")}
        metric.add_sample(family.name, kept, float(value))
        self.count += 1

    def metrics(self) -> list[Metric]:
        """The families that have samples, for prometheus_client."""
        return list(self._found.values())


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a view's samples, which `add` adds.

    They follow from `source` alone, which nobody changes: of two parts with the same `key`, those with equal
    sources have equal samples.
    """

    key: object
    source: object
    add: Callable[[Samples], None]


class Limit:
    """How many series one part of the metrics may have; what is beyond it is left out and counted."""

    def __init__(self, part: str, series_max: int) -> None:
        self.part = part
        self.left_out = 0
        self._free = series_max

    def take(self, series: int) -> bool:
        """True where there is room for `series` more, which are then taken; else they are counted."""
        if series > self._free:
            self.left_out += series
            return False
        self._free -= series
        return True
