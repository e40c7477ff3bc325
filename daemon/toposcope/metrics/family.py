"""What a metric family is, and the samples that are gathered for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

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


@dataclass(frozen=True, slots=True)
class Lines:
    """A family's samples as lines of the exposition formats, which both write them alike."""

    family: Family
    lines: list[str]


class Samples:
    """Samples by family, in the order of the families' first sample."""

    def __init__(self) -> None:
        self._found: dict[str, Lines] = {}
        self.count = 0

    def add(self, family: Family, value: float, **labels: object) -> None:
        """One sample; labels that are None or empty are left out. Unknown labels are a mistake of ours."""
        self.add_text(family, value, label_text(family, labels))

    def add_text(self, family: Family, value: float, labels: str) -> None:
        """One sample with labels that `label_text` made: for many samples with labels in common."""
        found = self._found.get(family.stem)
        if found is None:
            found = self._found[family.stem] = Lines(family, [])
        name = f"{family.name}{{{labels}}}" if labels else family.name
        found.lines.append(f"{name} {_number(value)}\n")
        self.count += 1

    def families(self) -> list[Lines]:
        """The families that have samples."""
        return list(self._found.values())


def label_text(family: Family, labels: Mapping[str, object]) -> str:
    """`name="value",…`: what stands between the braces. Labels that are None or empty are left out."""
    unknown = labels.keys() - set(family.labels)
    assert not unknown, f"{family.name} has no label {unknown}"
    texts = [f'{name}="{_escaped(str(value))}"' for name, value in labels.items() if value not in (None, "")]
    return ",".join(texts)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


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
