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

    `psutil_facts`: `logical_count` and `physical_count` (psutil.cpu_count), `allowed` (Process.cpu_affinity).
    `cpuinfo_facts`: `count` and `brand_raw`. Its cache sizes are not compared: on AMD it takes the L2 size
    of /proc/cpuinfo for that of the L3.
    """
    comparisons: list[tuple[str, object, str, object]] = [
        ("online CPUs", len(machine.online_cpus), "psutil", psutil_facts.get("logical_count")),
        ("online CPUs", len(machine.online_cpus), "py-cpuinfo", cpuinfo_facts.get("count")),
        (
            "cores",
            len(machine.cores) if machine.cores else None,
            "psutil",
            psutil_facts.get("physical_count"),
        ),
        ("allowed CPUs", list(machine.usable_cpus), "psutil", _sorted(psutil_facts.get("allowed"))),
        ("CPU model", machine.setting("cpu_model"), "py-cpuinfo", cpuinfo_facts.get("brand_raw")),
    ]
    return [
        f"{name}: we say {ours}, {peer} says {theirs}"
        for name, ours, peer, theirs in comparisons
        if ours is not None and theirs is not None and not _agree(ours, theirs)
    ]


def _agree(mine: object, theirs: object) -> bool:
    if isinstance(mine, str) and isinstance(theirs, str):
        return " ".join(mine.split()).casefold() == " ".join(theirs.split()).casefold()
    return mine == theirs


def _sorted(cpus: object) -> list[int] | None:
    return sorted(cpus) if isinstance(cpus, (list, tuple)) else None
