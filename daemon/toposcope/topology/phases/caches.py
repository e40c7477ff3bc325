"""The caches: level, type, size and who shares them.

Source: Documentation/ABI/testing/sysfs-devices-system-cpu, cpuN/cache/indexM. Each CPU lists the caches
that it uses; a shared one appears below each of its CPUs. Its files are read once: another CPU that shows
the same index with the same set of sharers shows the same cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.disjoint import disjoint
from toposcope.topology.model import Cache, CpuSet
from toposcope.topology.phases.cpus import CPU_DIR
from toposcope.topology.sysfs import Root

_TYPES: Final = ("Data", "Instruction", "Unified")
_MAX_INDICES: Final = 16


def read_caches(root: Root, online: CpuSet) -> tuple[Cache, ...]:
    """Every cache that some online CPU uses, ordered by level, type and first CPU."""
    everything = frozenset(online)
    # Equal masks are the same object (Root): by identity a wide set costs nothing but the first time.
    found: dict[tuple[int, int], tuple[Cache | None, list[int]]] = {}
    for cpu in online:
        directory = f"{CPU_DIR}/cpu{cpu}/cache"
        for index in root.numbered(directory, "index")[:_MAX_INDICES]:
            where = f"{directory}/index{index}"
            # An empty map, as on old ia64 kernels, tells that the kernel doesn't know who shares it.
            sharers = root.cpu_set(where, "shared_cpu_map", "shared_cpu_list")
            if not sharers:
                continue
            key = index, id(sharers)
            if key not in found:
                found[key] = _read_cache(root, where, sharers, everything), []
            found[key][1].append(cpu)
    users: Counter[Cache] = Counter()
    for cache, cpus in found.values():
        if cache is not None:
            users[cache] += len(cpus)
    return tuple(sorted(_untangled(root, users), key=lambda cache: (cache.level, cache.type, cache.cpus)))


def _read_cache(root: Root, where: str, sharers: CpuSet, online: frozenset[int]) -> Cache | None:
    level, kind = root.integer(f"{where}/level"), root.text(f"{where}/type")
    if level is None or not 1 <= level <= 9 or kind not in _TYPES:
        root.doubt(f"{where}: neither a known level nor type")
        return None
    cpus = tuple(cpu for cpu in sharers if cpu in online)
    return Cache(level, kind, root.size_bytes(f"{where}/size"), cpus) if cpus else None


def _untangled(root: Root, users: Mapping[Cache, int]) -> Iterator[Cache]:
    """The caches with each CPU in one cache of a level and type: that which more CPUs name as theirs."""
    by_kind: dict[tuple[int, str], dict[CpuSet, int]] = {}
    sizes: dict[tuple[int, str, CpuSet], int | None] = {}
    for cache, count in users.items():
        named = by_kind.setdefault((cache.level, cache.type), {})
        named[cache.cpus] = named.get(cache.cpus, 0) + count
        sizes.setdefault((cache.level, cache.type, cache.cpus), cache.size_bytes)
    for (level, kind), named in by_kind.items():
        parts, crossed = disjoint(named)
        for cpus in crossed:
            root.doubt(f"L{level} {kind} caches: the set {format_cpulist(cpus)[:60]} overlaps another one")
        for cpus, declared in parts.items():
            yield Cache(level, kind, sizes[level, kind, declared], cpus)
