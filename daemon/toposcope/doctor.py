"""What limits the measurements on a machine: facts of its topology and settings, each with its meaning.

Only reads; the reader of /sys and /proc is handed in. Sources: the kernel's admin guide (cgroup-v2,
mm/transhuge, sysctl/kernel: numa_balancing, pm/cpufreq).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from toposcope.topology.hostload import read_cpu_quota
from toposcope.topology.model import Machine
from toposcope.topology.sysfs import Root

Status = Literal["fine", "limits", "unknown"]


class Limit(msgspec.Struct, frozen=True):
    """One thing that was looked at: what it is, and what that means for the numbers ("" if nothing)."""

    name: str
    status: Status
    value: str
    meaning: str


def limits(machine: Machine, root: Root) -> list[Limit]:
    """Everything that was looked at, most important first."""
    return [
        _cpus(machine),
        _quota(root),
        _hypervisor(machine),
        _frequency(machine),
        *_settings(machine),
        _clock(machine),
        *(Limit("topology", "limits", doubt, "see `toposcope topology`") for doubt in machine.doubts),
    ]


def _cpus(machine: Machine) -> Limit:
    usable, online = len(machine.usable_cpus), len(machine.online_cpus)
    value = f"{usable} of {online} online CPUs may be used"
    if usable < 2:
        return Limit("cpus", "limits", value, "nothing can be measured between CPUs")
    if usable < online:
        return Limit("cpus", "limits", value, "CPUs outside the cpuset are not measured")
    isolated = set(machine.isolated_cpus or ()) & set(machine.usable_cpus)
    if isolated:
        return Limit(
            "cpus", "limits", value, f"{len(isolated)} isolated ones are left alone unless configured"
        )
    return Limit("cpus", "fine", value, "")


def _quota(root: Root) -> Limit:
    quota = read_cpu_quota(root)
    if quota is None:
        return Limit("cpu quota", "fine", "none seen", "")
    meaning = "a quota stops spinning kernels in mid-batch; remove it from this service"
    return Limit("cpu quota", "limits", f"{quota:.2f} CPUs", meaning)


def _hypervisor(machine: Machine) -> Limit:
    name = machine.setting("hypervisor")
    if not name or name == "none":
        return Limit("hypervisor", "fine", "none seen", "")
    meaning = "vCPUs may move: modes are looked for, and advice is withheld where placement is unstable"
    return Limit(
        "hypervisor", "limits", "one that doesn't say its name" if name == "unknown" else name, meaning
    )


def _frequency(machine: Machine) -> Limit:
    governor = machine.setting("frequency_governor")
    if governor is None:
        return Limit(
            "frequency", "unknown", "no frequency driver to be seen", "the effective frequency is measured"
        )
    turbo = machine.setting("turbo")
    value = f"governor {governor}, turbo {turbo or 'unknown'}"
    if governor in ("powersave", "ondemand", "conservative", "schedutil"):
        return Limit("frequency", "limits", value, "CPUs are warmed up first, and that is counted")
    return Limit("frequency", "fine", value, "")


def _settings(machine: Machine) -> Iterator[Limit]:
    balancing = machine.setting("numa_balancing")
    if balancing in (None, "0"):
        yield Limit("numa balancing", "fine", "off", "")
    else:
        yield Limit("numa balancing", "limits", balancing or "", "pages may move; bound memory is verified")
    pages = machine.setting("thp")
    if pages == "never":
        yield Limit("huge pages", "limits", pages, "memory is measured with small pages only")
    else:
        yield Limit("huge pages", "fine" if pages else "unknown", pages or "not known", "")
    smt = machine.setting("smt_control")
    yield Limit("smt", "fine" if smt else "unknown", smt or "not known", "")


def _clock(machine: Machine) -> Limit:
    source = machine.setting("clocksource")
    if source in ("tsc", "arch_sys_counter", "kvm-clock"):
        return Limit("clock", "fine", source, "")
    return Limit(
        "clock", "limits" if source else "unknown", source or "not known", "reading the clock is slow"
    )
