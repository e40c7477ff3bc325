"""A machine as a JSON document and back: what `topology --format json` prints and `--topology FILE` reads.

Lists of sets carry a count beside them (`n_packages`), null where the kernel doesn't tell. Only the core
fields are needed on the way back; counts, relations and the fingerprint follow from them and are not read.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from toposcope.errors import TopologyError
from toposcope.topology.cpulist import MAX_ID
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.model import (
    Cache,
    CpuSet,
    Distances,
    Finding,
    Machine,
    Node,
    Partition,
    partition_of,
)  # fmt: skip

SCHEMA_VERSION: Final = 1
MAX_MEMORY_BYTES: Final = 1 << 62
_ENTRIES_MAX: Final = 1 << 16  # of any list: 8192 CPUs have not even so many caches

_SETS: Final = ("possible_cpus", "present_cpus", "offline_cpus", "allowed_cpus", "allowed_nodes",
                "isolated_cpus", "nohz_full_cpus")  # fmt: skip
_PARTITIONS: Final = ("packages", "dies", "clusters", "cores", "books", "drawers", "core_types")
_CACHE_TYPES: Final = ("Data", "Instruction", "Unified")
_NODE_KINDS: Final = ("cpu", "memory", "empty")

_Value = TypeVar("_Value")
Document = dict[str, Any]


def to_document(machine: Machine, discovery_duration_s: float | None = None) -> Document:
    """The machine as what json can hold; `discovery_duration_s` where it was just discovered."""
    document: Document = {
        "schema_version": SCHEMA_VERSION,
        "is_this_system": machine.is_this_system,
        "discovery_duration_s": discovery_duration_s,
        "fingerprint": fingerprint(machine),
        "online_cpus": list(machine.online_cpus),
        "n_online_cpus": len(machine.online_cpus),
    }
    document |= {name: _list_or_none(getattr(machine, name)) for name in _SETS}
    for name in _PARTITIONS:
        partition = getattr(machine, name)
        document[name] = None if partition is None else [list(cpus) for cpus in partition]
        document[f"n_{name}"] = None if partition is None else len(partition)
    document |= {
        "core_type_names": _list_or_none(machine.core_type_names),
        "cpu_capacities": {str(cpu): capacity for cpu, capacity in machine.cpu_capacities},
        "smt_max": machine.smt_max,
        "numa_exposed": machine.numa_exposed,
        "numa_nodes": [_node_document(node) for node in machine.numa_nodes],
        "n_numa_nodes": len(machine.numa_nodes),
        "distances": _distances_document(machine.distances),
        "caches": [_cache_document(cache) for cache in machine.caches],
        "relations": [{"relation": name, "groups": [list(cpus) for cpus in partition]}
                      for name, partition in machine.levels],
        "settings": dict(machine.settings),
        "modes": [{"name": mode.name, "evidence": mode.evidence} for mode in machine.modes],
        "doubts": list(machine.doubts),
    }  # fmt: skip
    return document


def _list_or_none(values: Sequence[_Value] | None) -> list[_Value] | None:
    return None if values is None else list(values)


def _node_document(node: Node) -> Document:
    return {"id": node.id, "cpus": list(node.cpus), "memory_bytes": node.memory_bytes, "kind": node.kind,
            "initiator_nodes": _list_or_none(node.access_class_initiators)}  # fmt: skip


def _distances_document(distances: Distances | None) -> Document | None:
    if distances is None:
        return None
    return {"nodes": list(distances.nodes), "matrix": [list(row) for row in distances.matrix]}


def _cache_document(cache: Cache) -> Document:
    return {
        "level": cache.level,
        "type": cache.type,
        "size_bytes": cache.size_bytes,
        "cpus": list(cache.cpus),
    }


def from_document(document: object) -> Machine:
    """The machine of such a document; it is never this system, so nothing can be measured on it.

    Raises TopologyError with one sentence that names the field that is wrong.
    """
    fields = _object(document, "the document")
    version = fields.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise TopologyError(f"topology: schema_version is {version!r:.40}, only {SCHEMA_VERSION} can be read")
    online = _numbers(fields.get("online_cpus"), "online_cpus")
    if not online:
        raise TopologyError("topology: online_cpus is empty")
    sets: dict[str, Any] = {name: _optional(fields, name, _numbers) for name in _SETS}
    sets |= {name: _optional(fields, name, _partition) for name in _PARTITIONS}
    nodes = _list(fields.get("numa_nodes") or [], "numa_nodes", _node)
    machine = Machine(
        is_this_system=False,
        online_cpus=online,
        **sets,
        core_type_names=_optional(fields, "core_type_names", _texts),
        cpu_capacities=_capacities(fields.get("cpu_capacities") or {}),
        smt_max=_optional(fields, "smt_max", _integer),
        numa_exposed=bool(fields.get("numa_exposed", nodes)),
        numa_nodes=tuple(sorted(nodes, key=lambda node: node.id)),
        distances=_optional(fields, "distances", _distances),
        caches=tuple(sorted(
            _list(fields.get("caches") or [], "caches", _cache),
            key=lambda cache: (cache.level, cache.type, cache.cpus),
        )),
        settings=_settings(fields.get("settings") or {}),
        modes=_list(fields.get("modes") or [], "modes", _finding),
        doubts=_texts(fields.get("doubts") or [], "doubts"),
    )  # fmt: skip
    _check_consistency(machine)
    return machine


def _check_consistency(machine: Machine) -> None:
    online = set(machine.online_cpus)
    sets = [(name, cpus) for name in _PARTITIONS for cpus in getattr(machine, name) or ()]
    sets += [("numa_nodes", node.cpus) for node in machine.numa_nodes]
    sets += [("caches", cache.cpus) for cache in machine.caches]
    for name, cpus in sets:
        for cpu in cpus:
            if cpu not in online:
                raise TopologyError(f"topology: {name} names CPU {cpu}, which is not in online_cpus")
    if both := online.intersection(machine.offline_cpus or ()):
        raise TopologyError(f"topology: CPU {min(both)} is in online_cpus and in offline_cpus")
    if not machine.usable_cpus:
        raise TopologyError("topology: no CPU of online_cpus is in allowed_cpus")
    for name in _PARTITIONS:
        _check_disjoint(name, getattr(machine, name) or ())
    ids = [node.id for node in machine.numa_nodes]
    if len(set(ids)) != len(ids):
        raise TopologyError("topology: numa_nodes has two nodes of the same id")
    if machine.core_type_names and len(machine.core_type_names) != len(machine.core_types or ()):
        raise TopologyError("topology: core_type_names is not as long as core_types")


def _check_disjoint(name: str, sets: Sequence[CpuSet]) -> None:
    seen: set[int] = set()
    for cpus in sets:
        for cpu in cpus:
            if cpu in seen:
                raise TopologyError(f"topology: {name} has CPU {cpu} twice")
            seen.add(cpu)


def _wrong(where: str, wanted: str, value: object) -> TopologyError:
    shown = reprlib.repr(value)  # of a long one only its beginning is written
    return TopologyError(f"topology: {where} must be {wanted}, not {shown:.60}")


def _optional(
    fields: Mapping[str, object], name: str, read: Callable[[object, str], _Value]
) -> _Value | None:
    value = fields.get(name)
    return None if value is None else read(value, name)


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, "a JSON object", value)
    return value


def _integer(value: object, where: str, limit: int = MAX_ID) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise _wrong(where, f"a whole number from 0 to {limit}", value)
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, "text", value)
    return value


def _list(value: object, where: str, read: Callable[[object, str], _Value]) -> tuple[_Value, ...]:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    if len(value) > _ENTRIES_MAX:
        raise TopologyError(f"topology: {where} has {len(value)} entries, at most {_ENTRIES_MAX} are read")
    return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))


def _texts(value: object, where: str) -> tuple[str, ...]:
    return _list(value, where, _text)


def _numbers(value: object, where: str) -> CpuSet:
    numbers = _list(value, where, _integer)
    if len(set(numbers)) != len(numbers):
        raise _wrong(where, "a list of different numbers", value)
    return tuple(sorted(numbers))


def _partition(value: object, where: str) -> Partition:
    return partition_of(_list(value, where, _numbers))


def _node(value: object, where: str) -> Node:
    fields = _object(value, where)
    cpus = _numbers(fields.get("cpus"), f"{where}.cpus")
    memory = fields.get("memory_bytes")
    memory_bytes = None if memory is None else _integer(memory, f"{where}.memory_bytes", MAX_MEMORY_BYTES)
    kind = fields.get("kind") or ("cpu" if cpus else "empty" if memory_bytes == 0 else "memory")
    if kind not in _NODE_KINDS:
        raise _wrong(f"{where}.kind", "one of " + ", ".join(_NODE_KINDS), kind)
    initiators = fields.get("initiator_nodes")
    return Node(
        id=_integer(fields.get("id"), f"{where}.id"),
        cpus=cpus,
        memory_bytes=memory_bytes,
        kind=kind,
        access_class_initiators=None
        if initiators is None
        else _numbers(initiators, f"{where}.initiator_nodes"),
    )


def _distances(value: object, where: str) -> Distances:
    fields = _object(value, where)
    nodes = _list(fields.get("nodes"), f"{where}.nodes", _integer)
    matrix = _list(fields.get("matrix"), f"{where}.matrix", lambda row, at: _list(row, at, _integer))
    if len(set(nodes)) != len(nodes) or [len(row) for row in matrix] != [len(nodes)] * len(nodes):
        raise TopologyError(f"topology: {where}.matrix is not square over {len(nodes)} different nodes")
    return Distances(nodes, matrix)


def _cache(value: object, where: str) -> Cache:
    fields = _object(value, where)
    kind, size = fields.get("type"), fields.get("size_bytes")
    if kind not in _CACHE_TYPES:
        raise _wrong(f"{where}.type", "one of " + ", ".join(_CACHE_TYPES), kind)
    return Cache(
        level=_integer(fields.get("level"), f"{where}.level", 9),
        type=kind,
        size_bytes=None if size is None else _integer(size, f"{where}.size_bytes", MAX_MEMORY_BYTES),
        cpus=_numbers(fields.get("cpus"), f"{where}.cpus"),
    )


def _finding(value: object, where: str) -> Finding:
    fields = _object(value, where)
    return Finding(
        _text(fields.get("name"), f"{where}.name"), _text(fields.get("evidence"), f"{where}.evidence")
    )


def _capacities(value: object) -> tuple[tuple[int, int], ...]:
    fields = _object(value, "cpu_capacities")
    for cpu in fields:
        if not (isinstance(cpu, str) and cpu.isascii() and cpu.isdigit() and len(cpu) < 6):
            raise _wrong("cpu_capacities", "an object from CPU ids to capacities", fields)
    pairs = ((int(cpu), _integer(capacity, f"cpu_capacities.{cpu}")) for cpu, capacity in fields.items())
    return tuple(sorted(pairs))


def _settings(value: object) -> tuple[tuple[str, str | None], ...]:
    fields = _object(value, "settings")
    return tuple(sorted(
        (name, None if text is None else _text(text, f"settings.{name}")) for name, text in fields.items()
    ))  # fmt: skip
