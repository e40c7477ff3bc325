"""The machine as a text tree: 80 columns, as clear without colours and in a pipe as on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree as RichTree

from toposcope.render.terminal import show
from toposcope.render.topology_tree import Box, Tree, build_tree, count, headline, node_label, plain
from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.model import CpuSet, Machine

_SHOWN_SETTINGS: Final = (
    ("machine", ("machine_vendor", "machine_product")),
    ("hypervisor", ("hypervisor",)),
    ("frequency", ("frequency_driver", "frequency_governor")),
    ("turbo", ("turbo",)),
    ("SMT", ("smt_control",)),
    ("huge pages", ("thp",)),
    ("NUMA balancing", ("numa_balancing",)),
    ("microcode", ("microcode",)),
    ("kernel", ("kernel",)),
)


def print_topology(machine: Machine) -> None:
    """Print the tree to stdout; where that is no terminal, 80 columns wide and without colours."""
    show(topology_text(machine))


def topology_text(machine: Machine) -> Group:
    """The machine's headline, tree, distances, modes, settings and doubts."""
    tree = build_tree(machine)
    marks = _Marks(machine)
    root = RichTree(Text(headline(machine), style="bold"), guide_style="dim")
    _grow(root, tree.machine.boxes, marks)
    for node in tree.memory_nodes:
        near = (
            f", nearest nodes {format_cpulist(node.access_class_initiators)}"
            if node.access_class_initiators
            else ""
        )
        root.add(Text(f"{node_label(node)}: no CPUs{near}"))
    return Group(
        root, *(Text(line) for line in _sets(machine)), *_distances(machine), *_remarks(machine, tree)
    )


class _Marks:
    """How a CPU that is not like the others is written: `(5)` not allowed, `5*` isolated."""

    def __init__(self, machine: Machine) -> None:
        self._usable = frozenset(machine.usable_cpus)
        self._isolated = frozenset(machine.isolated_cpus or ())

    def cpu(self, cpu: int) -> str:
        name = f"{cpu}*" if cpu in self._isolated else str(cpu)
        return name if cpu in self._usable else f"({name})"

    def core(self, cpus: CpuSet) -> str:
        return "+".join(map(self.cpu, cpus))


def _grow(tree: RichTree, boxes: Iterable[Box], marks: _Marks) -> None:
    cores = [box for box in boxes if box.is_core]
    if cores:
        tree.add(_core_line(cores, marks))
    for box in boxes:
        if not box.is_core:
            _grow(tree.add(Text(_label(box))), box.boxes, marks)


def _label(box: Box) -> str:
    """`package 0 = node 0 (31 GiB) = L3 8 MiB: CPUs 0-5,48-53`."""
    names = " = ".join(label for _, label in box.names)
    return f"{names}: {count(len(box.cpus), 'CPU')} {format_cpulist(box.cpus)}"


def _core_line(cores: list[Box], marks: _Marks) -> RenderableType:
    """The cores of a box, alike ones together: `4 cores (L2 1 MiB · L1d 32 KiB): 0+48 1+49 …`."""
    groups: dict[tuple[str, int], list[CpuSet]] = {}
    for box in cores:
        own = " · ".join(label for kind, label in box.names if kind not in ("core", "cluster"))
        groups.setdefault((own, len(box.cpus)), []).append(box.cpus)
    lines: list[RenderableType] = []
    for (own, _), sets in groups.items():
        head = f"{count(len(sets), 'core')}{f' ({own})' if own else ''}:"
        names = " ".join(marks.core(cpus) for cpus in sets)
        if len(head) + len(names) <= 56:
            lines.append(Text(f"{head} {names}"))
        else:
            lines += [Text(head), Padding(Text(names), (0, 0, 0, 2), expand=False)]
    return Group(*lines)


def _sets(machine: Machine) -> Iterator[str]:
    if machine.core_types and len(machine.core_types) > 1:
        names = machine.core_type_names or tuple(map(str, range(len(machine.core_types))))
        for name, cpus in zip(names, machine.core_types, strict=True):
            yield f"core type {plain(name)}: {format_cpulist(cpus)}"
    if machine.offline_cpus:
        yield f"offline: {format_cpulist(machine.offline_cpus)}"
    if len(machine.usable_cpus) < len(machine.online_cpus):
        yield f"allowed to this process: {format_cpulist(machine.usable_cpus)}; others in parentheses"
    if machine.isolated_cpus:
        yield f"isolated from the scheduler (*): {format_cpulist(machine.isolated_cpus)}"
    if machine.nohz_full_cpus:
        yield f"without scheduler ticks (nohz_full): {format_cpulist(machine.nohz_full_cpus)}"


def _distances(machine: Machine) -> Iterator[Text]:
    if machine.distances is None or len(machine.distances.nodes) < 2:
        return
    nodes, matrix = machine.distances.nodes, machine.distances.matrix
    yield Text("node distances as firmware declares them (10 is local):")
    if len(nodes) > 14:
        values = sorted({value for row in matrix for value in row})
        yield Text(f"  {len(nodes)} nodes, values {' '.join(map(str, values[:20]))}")
        return
    width = max(len(str(value)) for row in (nodes, *matrix) for value in row) + 1
    for name, row in (("", nodes), *((str(node), row) for node, row in zip(nodes, matrix, strict=True))):
        yield Text(f"{name:>{width + 1}}" + "".join(f"{value:>{width}}" for value in row))


def _remarks(machine: Machine, tree: Tree) -> Iterator[Text]:
    for mode in machine.modes:
        yield Text(f"{plain(mode.name)}: {plain(mode.evidence)}")
    settings = []
    for name, keys in _SHOWN_SETTINGS:
        values = [value for key in keys if (value := machine.setting(key))]
        if values:
            settings.append(f"{name} {plain(' '.join(values))}")
    if settings:
        yield Text(" · ".join(settings), style="dim")
    for sentence in (*tree.crossing, *machine.doubts):
        yield Text(f"doubt: {plain(sentence)}", style="yellow")
