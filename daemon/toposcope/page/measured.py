"""The measured topology beside the declared one: levels inferred from latencies, as boxes in boxes; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.infer import Inference, Level
from toposcope.topology.model import CpuSet, Machine

# Levels of more groups (the cores of a large machine) are told in words only.
_DRAWN_GROUPS_MAX: Final = 48


@dataclass(frozen=True, slots=True)
class Measured:
    """`levels` are sentences, narrow to wide; `boxes` the widest groups with what is in them."""

    verdict: str
    confidence: float
    levels: tuple[str, ...]
    boxes: tuple[MeasuredBox, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredBox:
    """CPUs that are near each other; `boxes` the nearer ones among them, none at the innermost level."""

    label: str
    cpus: str
    boxes: tuple[MeasuredBox, ...] = ()


def measured_topology(found: Inference, machine: Machine) -> Measured:
    """What was inferred from the machine's matrix, in the words and boxes of the page."""
    levels = tuple(_sentence(level, machine) for level in found.levels)
    return Measured(found.verdict, found.confidence, levels, _boxes(found), found.reasons)


def _sentence(level: Level, machine: Machine) -> str:
    groups = [group for group in level.groups if len(group) > 1]
    near = "" if level.latency_ns_median is None else f", {level.latency_ns_median:.3g} ns within"
    what = f"{len(level.groups)} groups{near}"
    same = [name for name, partition in machine.levels if set(partition) == set(groups)]
    if same:
        return f"{what}: the same CPUs as the declared {' and '.join(same)}"
    return f"{what}: no declared level has these groups"


def _boxes(found: Inference) -> tuple[MeasuredBox, ...]:
    if not found.levels:
        return ()
    drawn = [level for level in found.levels if len(level.groups) <= _DRAWN_GROUPS_MAX] or [found.levels[-1]]
    return _nested(drawn[-1].groups, list(reversed(drawn)))


def _nested(groups: Sequence[CpuSet], levels: Sequence[Level]) -> tuple[MeasuredBox, ...]:
    """Boxes of `groups`, which belong to `levels[0]`, with the groups of the nearer levels in them."""
    here, inner = levels[0], levels[1:]
    near = "" if here.latency_ns_median is None else f"{here.latency_ns_median:.3g} ns"
    boxes: list[MeasuredBox] = []
    for group in groups:
        members = set(group)
        inside = [each for each in inner[0].groups if members.issuperset(each)] if inner else []
        if len(inside) == 1:
            boxes += _nested(inside, inner)
            continue
        boxes.append(MeasuredBox(near, format_cpulist(group), _nested(inside, inner) if inside else ()))
    return tuple(boxes)
