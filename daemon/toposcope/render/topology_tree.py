"""The machine as nested boxes, for the text tree and the SVG picture.

What holds what is decided by the CPU sets alone, so any order of levels comes out right: a node inside
a package, packages inside a node, an L3 that spans dies. Sets that are equal share a box. A set that
crosses another one can't be drawn as a box; it goes to `crossing`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from toposcope.topology.model import Cache, CpuSet, Machine, Node
from toposcope.units import format_bytes

# Wide to narrow; of equal sets the wider is named first.
KINDS: Final = ("machine", "drawer", "book", "package", "node", "die", "l3", "cluster", "l2", "l1", "core")
_CORE_KINDS: Final = ("l3", "cluster", "l2", "l1", "core")


@dataclass(slots=True)
class Box:
    """A set of CPUs with all the names it has, as (kind, label), the widest kind first."""

    cpus: CpuSet
    names: list[tuple[str, str]]
    boxes: list[Box] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The widest kind."""
        return self.names[0][0]

    @property
    def is_core(self) -> bool:
        """Whether this is a core, perhaps with caches of its own, and nothing wider."""
        return self.names[-1][0] == "core" and not self.boxes and self.kind in _CORE_KINDS


@dataclass(frozen=True, slots=True)
class Tree:
    """The machine's box, sets that can't be nested (as sentences), and nodes without CPUs."""

    machine: Box
    crossing: tuple[str, ...]
    memory_nodes: tuple[Node, ...]


def build_tree(machine: Machine) -> Tree:
    """Nest all sets of the machine; cost grows with the sum of the sets' sizes."""
    top = Box(machine.online_cpus, [("machine", "machine")])
    innermost: dict[int, Box] = dict.fromkeys(machine.online_cpus, top)
    crossing = []
    named = sorted(_named_sets(machine), key=lambda item: (-len(item[0]), KINDS.index(item[1])))
    for cpus, kind, label in named:
        holders = {id(innermost[cpu]): innermost[cpu] for cpu in cpus if cpu in innermost}
        if len(holders) != 1:
            crossing.append(f"{label} crosses other sets")
            continue
        (holder,) = holders.values()
        if holder.cpus == cpus and holder is not top:
            holder.names.append((kind, label))
            continue
        box = Box(cpus, [(kind, label)])
        holder.boxes.append(box)
        innermost.update(dict.fromkeys(cpus, box))
    _sort(top)
    return Tree(top, tuple(crossing), tuple(node for node in machine.numa_nodes if not node.cpus))


def _sort(box: Box) -> None:
    box.boxes.sort(key=lambda inner: inner.cpus)
    for inner in box.boxes:
        _sort(inner)


def _named_sets(machine: Machine) -> Iterator[tuple[CpuSet, str, str]]:
    for kind, partition in (("drawer", machine.drawers), ("book", machine.books),
                            ("package", machine.packages),
                            ("die", machine.dies), ("cluster", machine.clusters)):  # fmt: skip
        for index, cpus in enumerate(partition or ()):
            yield cpus, kind, f"{kind} {index}"
    for node in machine.numa_nodes:
        if node.cpus:
            yield node.cpus, "node", node_label(node)
    for cpus, kind, label in _cache_sets(machine.caches):
        yield cpus, kind, label
    for index, cpus in enumerate(machine.cores or tuple((cpu,) for cpu in machine.online_cpus)):
        yield cpus, "core", f"core {index}"


def _cache_sets(caches: tuple[Cache, ...]) -> Iterator[tuple[CpuSet, str, str]]:
    """One entry a level and set: split first-level caches (and odd second-level ones) share a label."""
    labels: dict[tuple[int, CpuSet], list[str]] = {}
    for cache in caches:
        letter = {"Data": "d", "Instruction": "i"}.get(cache.type, "")
        size = f" {format_bytes(cache.size_bytes)}" if cache.size_bytes else ""
        labels.setdefault((cache.level, cache.cpus), []).append(f"L{cache.level}{letter}{size}")
    for (level, cpus), parts in labels.items():
        yield cpus, f"l{min(level, 3)}", " · ".join(parts)


def node_label(node: Node) -> str:
    """`node 1 (31.4 GiB)`, without the memory where nothing tells."""
    if node.memory_bytes is None:
        return f"node {node.id}"
    return f"node {node.id} ({format_bytes(node.memory_bytes) if node.memory_bytes else 'no memory'})"


def headline(machine: Machine) -> str:
    """`AMD EPYC 7451: 2 packages, 8 nodes, 48 cores, 96 CPUs`, counting what the kernel tells."""
    parts = [
        count(len(partition), word)
        for word, partition in (
            ("drawer", machine.drawers),
            ("book", machine.books),
            ("package", machine.packages),
        )
        if partition is not None
    ]
    if machine.numa_exposed:
        parts.append(count(len(machine.numa_nodes), "node"))
    if machine.cores is not None:
        parts.append(count(len(machine.cores), "core"))
    parts.append(count(len(machine.online_cpus), "CPU"))
    return f"{plain(machine.setting('cpu_model') or 'machine')}: {', '.join(parts)}"


def count(number: int, word: str) -> str:
    """`1 core`, `2 cores`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def plain(text: str) -> str:
    """Text from the machine without control and formatting characters, for terminals obey them."""
    return "".join(char if unicodedata.category(char)[0] not in "CZ" or char == " " else "�" for char in text)
