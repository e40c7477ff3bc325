"""The caches: level, type, size and who shares them.

Source: Documentation/ABI/testing/sysfs-devices-system-cpu, cpuN/cache/indexM. Each CPU lists the caches that it
uses; the same cache appears below each CPU that shares it. The files of one cache are read once: another CPU
that shows the same index with the same set of sharers shows the same cache.
"""

from __future__ import annotations

from typing import Final

from toposcope.topology.model import Cache, CpuSet
from toposcope.topology.phases.cpus import CPU_DIR
from toposcope.topology.sysfs import Root

_TYPES: Final = ("Data", "Instruction", "Unified")
_MAX_INDICES: Final = 16


def read_caches(root: Root, online: CpuSet) -> tuple[Cache, ...]:
    """Every cache that some online CPU uses, ordered by level, type and first CPU."""
    everything = frozenset(online)
    found: dict[tuple[int, CpuSet], Cache | None] = {}
    for cpu in online:
        directory = f"{CPU_DIR}/cpu{cpu}/cache"
        for index in root.numbered(directory, "index")[:_MAX_INDICES]:
            where = f"{directory}/index{index}"
            # An empty map, as on old ia64 kernels, tells that the kernel doesn't know who shares it.
            sharers = root.cpu_set(where, "shared_cpu_map", "shared_cpu_list")
            if sharers and (index, sharers) not in found:
                found[index, sharers] = _read_cache(root, where, sharers, everything)
    caches = {cache for cache in found.values() if cache is not None}
    return tuple(sorted(caches, key=lambda cache: (cache.level, cache.type, cache.cpus)))


def _read_cache(root: Root, where: str, sharers: CpuSet, online: frozenset[int]) -> Cache | None:
    level, kind = root.integer(f"{where}/level"), root.text(f"{where}/type")
    if level is None or not 1 <= level <= 9 or kind not in _TYPES:
        root.doubt(f"{where}: neither a known level nor type")
        return None
    cpus = tuple(cpu for cpu in sharers if cpu in online)
    return Cache(level, kind, root.size_bytes(f"{where}/size"), cpus) if cpus else None
