"""Our answer against psutil's and py-cpuinfo's: a disagreement is worth an event, never more.

Pure: the facts are gathered elsewhere, in a child process, since py-cpuinfo is slow and starts programs.
"""

from __future__ import annotations

from collections.abc import Mapping

from toposcope.topology.model import Machine


def cross_check(
    machine: Machine, psutil_facts: Mapping[str, object], cpuinfo_facts: Mapping[str, object]
) -> list[str]:
    """Sentences about what differs; empty where all agree. A fact that is missing or None is skipped.

    `psutil_facts`: `logical_count` and `physical_count` (psutil.cpu_count), `allowed` (Process().cpu_affinity()).
    `cpuinfo_facts`: `count`, `brand_raw` and the cache sizes in bytes that py-cpuinfo gives as integers:
    `l3_cache_size`. Its l1 and l2 sizes are of one core or of all, by version and source, and not compared.
    """
    ours = {
        "online CPUs": (len(machine.online_cpus), {
            "psutil": psutil_facts.get("logical_count"), "py-cpuinfo": cpuinfo_facts.get("count")}),
        "cores": (len(machine.cores) if machine.cores else None, {"psutil": psutil_facts.get("physical_count")}),
        "allowed CPUs": (list(machine.usable_cpus), {"psutil": _sorted(psutil_facts.get("allowed"))}),
        "CPU model": (machine.setting("cpu_model"), {"py-cpuinfo": cpuinfo_facts.get("brand_raw")}),
        "bytes of L3 cache": (_l3_size_bytes(machine), {"py-cpuinfo": cpuinfo_facts.get("l3_cache_size")}),
    }  # fmt: skip
    return [
        f"{name}: we say {mine}, {peer} says {theirs}"
        for name, (mine, answers) in ours.items()
        for peer, theirs in answers.items()
        if mine is not None and theirs is not None and not _agree(mine, theirs)
    ]


def _agree(mine: object, theirs: object) -> bool:
    if isinstance(mine, str) and isinstance(theirs, str):
        return " ".join(mine.split()).casefold() == " ".join(theirs.split()).casefold()
    return mine == theirs


def _sorted(cpus: object) -> list[int] | None:
    return sorted(cpus) if isinstance(cpus, (list, tuple)) else None


def _l3_size_bytes(machine: Machine) -> int | None:
    sizes = {cache.size_bytes for cache in machine.caches if cache.level == 3}
    return sizes.pop() if len(sizes) == 1 else None
