"""NUMA nodes: their CPUs, memory, distances and access classes.

Sources: Documentation/ABI/stable/sysfs-devices-node, Documentation/admin-guide/mm/numaperf.rst (HMAT's
access classes), drivers/base/node.c.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.model import CpuSet, Distances, Node
from toposcope.topology.sysfs import Root

NODE_DIR: Final = "sys/devices/system/node"
_MEM_TOTAL: Final = re.compile(r"MemTotal:\s*(\d{1,18})\s*kB")
_MAX_DISTANCE: Final = 1 << 16


def read_nodes(root: Root, online: CpuSet) -> tuple[Node, ...]:
    """The nodes that have a directory, ascending by id; none where the kernel has no NUMA support."""
    everything = frozenset(online)
    nodes = tuple(
        _read_node(root, node_id, everything) for node_id in root.numbered_directories(NODE_DIR, "node")
    )
    claims = Counter(cpu for node in nodes for cpu in node.cpus)
    if shared := [cpu for cpu, n_nodes in claims.items() if n_nodes > 1]:
        root.doubt(f"{NODE_DIR}: CPUs {format_cpulist(shared)} are in several nodes at once")
    return nodes


def _read_node(root: Root, node_id: int, online: frozenset[int]) -> Node:
    where = f"{NODE_DIR}/node{node_id}"
    declared = root.cpu_set(where, "cpumap", "cpulist")
    if declared is None:  # trimmed captures may still have the links
        declared = tuple(root.numbered(where, "cpu"))
    cpus = tuple(cpu for cpu in declared if cpu in online)
    memory_bytes = parse_memory_total(root.text(f"{where}/meminfo") or "")
    kind = "cpu" if cpus else "empty" if memory_bytes == 0 else "memory"
    initiators = () if cpus else _initiators(root, where)
    return Node(node_id, cpus, memory_bytes, kind, initiators or None)


def parse_memory_total(text: str) -> int | None:
    """The bytes of `Node 0 MemTotal: 8386704 kB` in a node's meminfo; None where it isn't there."""
    match = _MEM_TOTAL.search(text)
    return int(match[1]) * 1024 if match else None


def _initiators(root: Root, where: str) -> tuple[int, ...]:
    """The nodes whose CPUs are nearest to this memory: access class 1 is about CPUs, 0 about any device."""
    for access_class in (1, 0):
        nodes = root.numbered(f"{where}/access{access_class}/initiators", "node")
        if nodes:
            return tuple(nodes)
    return ()


def read_distances(root: Root, node_ids: Sequence[int]) -> Distances | None:
    """The matrix of the nodes' `distance` rows; None where a row is missing or has another length."""
    matrix = []
    for node_id in node_ids:
        path = f"{NODE_DIR}/node{node_id}/distance"
        text = root.text(path)
        if text is None:
            return None
        row = parse_distances(text)
        if row is None or len(row) != len(node_ids):
            root.doubt(f"{path}: {text[:40]!r} does not give a distance to each of {len(node_ids)} nodes")
            return None
        matrix.append(row)
    return Distances(tuple(node_ids), tuple(matrix)) if matrix else None


def parse_distances(text: str) -> tuple[int, ...] | None:
    """A row such as `10 21 21`; None where it is no row of small numbers."""
    words = text.split()
    if not text.isascii() or not "".join(words).isdigit() or max(map(len, words)) > 5:
        return None
    row = tuple(map(int, words))
    return row if max(row) < _MAX_DISTANCE else None
