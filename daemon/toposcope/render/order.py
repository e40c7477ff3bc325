"""The CPUs of a matrix in topology order, with the domains that lie side by side in it; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.render.topology_tree import Box, build_tree, plain
from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.model import Machine

# Cores and what is private to them are cells of the picture, not parts of it.
_TOO_SMALL: Final = frozenset({"core", "l1"})


@dataclass(frozen=True, slots=True)
class Domain:
    """Positions `start` to `end` (exclusive) of an order, which a level holds together; `depth` from 0."""

    kind: str
    label: str
    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Order:
    """CPU ids in topology order; domains from the outside inwards, those that hold all CPUs left out."""

    cpus: tuple[int, ...]
    domains: tuple[Domain, ...]

    def gaps(self, widths: Sequence[int]) -> list[int]:
        """The extra space before each position: `widths[depth]` where a domain of that depth starts."""
        space = [0] * len(self.cpus)
        for domain in self.domains:
            if domain.depth < len(widths):
                for border in (domain.start, domain.end):
                    if 0 < border < len(space):
                        space[border] = max(space[border], widths[domain.depth])
        return space


def topology_order(machine: Machine | None, cpus: Sequence[int]) -> Order:
    """Bring `cpus` into the machine's order; those it doesn't know come last, all of them without one."""
    if machine is None:
        return Order(tuple(cpus), ())
    tree = build_tree(machine)
    wanted = set(cpus)
    ordered = [cpu for cpu in _leaves(tree.machine) if cpu in wanted]
    known = set(ordered)
    ordered += [cpu for cpu in cpus if cpu not in known]
    position = {cpu: index for index, cpu in enumerate(ordered)}
    return Order(tuple(ordered), tuple(_domains(tree.machine.boxes, position, 0)))


def _leaves(box: Box) -> Iterator[int]:
    covered = {cpu for inner in box.boxes for cpu in inner.cpus}
    for inner in box.boxes:
        yield from _leaves(inner)
    yield from (cpu for cpu in box.cpus if cpu not in covered)


def _domains(boxes: Sequence[Box], position: dict[int, int], depth: int) -> Iterator[Domain]:
    for box in boxes:
        places = [position[cpu] for cpu in box.cpus if cpu in position]
        shown = 1 < len(places) < len(position) and box.kind not in _TOO_SMALL and not box.is_core
        if shown:
            cpus = format_cpulist(cpu for cpu in box.cpus if cpu in position)
            label = f"{plain(box.names[0][1])}, CPUs {cpus}"
            yield Domain(box.kind, label, min(places), max(places) + 1, depth)
        yield from _domains(box.boxes, position, depth + shown)
