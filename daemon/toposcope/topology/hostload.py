"""What the kernel counts while the machine runs: ticks of each CPU, CPU quota, CPU pressure.

These change all the time and are no part of a Machine. Sources: proc(5) (/proc/stat, in USER_HZ ticks),
Documentation/accounting/psi.rst, admin-guide/cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst (cfs_quota_us).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from toposcope.topology.phases.cgroups import find_mount, group_directories, read_group
from toposcope.topology.sysfs import Root

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_STEAL_FIELD: Final = 7  # user nice system idle iowait irq softirq steal guest guest_nice
_IDLE_FIELDS: Final = (3, 4)


@dataclass(frozen=True, slots=True)
class CpuTicks:
    """Ticks since boot: doing anything (steal included), taken by the hypervisor, and all together."""

    busy: int
    steal: int
    total: int


def read_cpu_ticks(root: Root) -> dict[int, CpuTicks]:
    """The ticks of each online CPU; empty where /proc/stat can't be read."""
    return parse_stat(root.table("proc/stat") or "")


def parse_stat(text: str) -> dict[int, CpuTicks]:
    """The `cpuN` lines of /proc/stat; guest time is within user time and not added again."""
    found = {}
    for line in text.splitlines():
        name, *words = line.split()[:11] or [""]
        if not (name.startswith("cpu") and name[3:].isdigit() and all(word.isdigit() for word in words)):
            continue
        ticks = [int(word) for word in words[: _STEAL_FIELD + 1]]
        if len(ticks) > max(_IDLE_FIELDS):
            total = sum(ticks)
            steal = ticks[_STEAL_FIELD] if len(ticks) > _STEAL_FIELD else 0
            found[int(name[3:])] = CpuTicks(total - sum(ticks[field] for field in _IDLE_FIELDS), steal, total)
    return found


def read_free_memory_bytes(root: Root, nodes: Iterable[int]) -> dict[int, int]:
    """What each node has left, file pages that can be dropped included; nodes that don't say are absent."""
    texts = {node: root.text(f"sys/devices/system/node/node{node}/meminfo") for node in nodes}
    found = {node: parse_node_meminfo(text) for node, text in texts.items() if text is not None}
    return {node: size for node, size in found.items() if size is not None}


def parse_node_meminfo(text: str) -> int | None:
    """From `Node 0 MemFree:  1234 kB`; inactive file pages count as free. None where there is no MemFree.

    Source: drivers/base/node.c, and Documentation/filesystems/proc.rst for what the fields mean.
    """
    sizes = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[4] == "kB" and words[3].isascii() and words[3].isdigit():
            sizes[words[2]] = int(words[3][:15]) << 10
    free = sizes.get("MemFree:")
    return None if free is None else free + sizes.get("Inactive(file):", 0)


def read_cpu_quota(root: Root) -> float | None:
    """How many CPUs' worth of time this process's group and its ancestors may use; None for no limit."""
    mount = find_mount(root, "cpu")
    if mount is None:
        return None
    quotas = []
    for directory in group_directories(mount, read_group(root, mount, "cpu")):
        if mount.kind == "cgroup2":
            quotas.append(parse_cpu_max(root.text(f"{directory}/cpu.max") or ""))
        else:
            quota = root.integer(f"{directory}/cpu.cfs_quota_us")
            period = root.integer(f"{directory}/cpu.cfs_period_us")
            quotas.append(quota / period if quota and period and quota > 0 and period > 0 else None)
    return min((quota for quota in quotas if quota is not None), default=None)


def parse_cpu_max(text: str) -> float | None:
    """`50000 100000` is half a CPU; `max 100000` is no limit."""
    words = text.split()
    if len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def read_cpu_pressure(root: Root) -> float | None:
    """The share of the last 10 s in which some task waited for a CPU (0 to 1); None without PSI."""
    return parse_pressure(root.table("proc/pressure/cpu") or "")


def parse_pressure(text: str) -> float | None:
    """From `some avg10=1.23 avg60=… avg300=… total=…`."""
    for line in text.splitlines():
        if line.startswith("some "):
            fields = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)
            try:
                ratio = float(fields.get("avg10", "nan")) / 100
            except ValueError:
                return None
            return ratio if math.isfinite(ratio) else None
    return None
