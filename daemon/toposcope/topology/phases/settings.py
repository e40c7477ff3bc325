"""Facts about the machine that change what a measurement means; reported, never set.

Sources: Documentation/ABI/testing/sysfs-devices-system-cpu (smt, vulnerabilities), admin-guide/pm/cpufreq.rst
and intel_pstate.rst, admin-guide/mm/transhuge.rst, admin-guide/sysctl/kernel.rst (numa_balancing),
Documentation/ABI/testing/sysfs-hypervisor-*, sysfs-class-dmi-id in drivers/firmware/dmi-id.c.
"""

from __future__ import annotations

import re
from typing import Final

from toposcope.topology.model import CpuSet
from toposcope.topology.phases import cpuinfo
from toposcope.topology.phases.cpus import CPU_DIR
from toposcope.topology.sysfs import Root

_CHOSEN: Final = re.compile(r"\[([\w-]+)\]")
_PLAIN_FILES: Final = (
    ("kernel", "proc/sys/kernel/osrelease"),
    ("clocksource", "sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("cpuidle_driver", f"{CPU_DIR}/cpuidle/current_driver"),
    ("cpuidle_governor", f"{CPU_DIR}/cpuidle/current_governor"),
    ("smt_control", f"{CPU_DIR}/smt/control"),
    ("numa_balancing", "proc/sys/kernel/numa_balancing"),
    ("machine_vendor", "sys/class/dmi/id/sys_vendor"),
    ("machine_product", "sys/class/dmi/id/product_name"),
)
# A bare number (x86 and ia64 have `model : 85`) is no name.
_MODEL_KEYS: Final = ("model name", "cpu model", "cpu", "hardware", "model", "uarch", "family")
# What DMI says of machines that are none: substrings of vendor or product, in lower case.
_DMI_HYPERVISORS: Final = {
    "qemu": "kvm", "kvm": "kvm", "bochs": "kvm", "openstack": "kvm", "google compute": "kvm",
    "amazon ec2": "amazon", "vmware": "vmware", "virtualbox": "virtualbox", "innotek": "virtualbox",
    "xen": "xen", "parallels": "parallels", "virtual machine": "hyper-v",
}  # fmt: skip
_BOOT_WORDS: Final = frozenset((
    "isolcpus", "nohz_full", "rcu_nocbs", "nosmt", "mitigations", "maxcpus", "nr_cpus", "numa",
    "numa_balancing", "intel_pstate", "amd_pstate", "processor.max_cstate", "intel_idle.max_cstate",
    "idle", "default_hugepagesz", "hugepages", "tsc", "clocksource",
))  # fmt: skip

Settings = tuple[tuple[str, str | None], ...]


def read_settings(root: Root, online: CpuSet, summary: cpuinfo.Record) -> Settings:
    """(name, value) pairs, the same names on every machine; None where the machine doesn't tell."""
    found: dict[str, str | None] = {name: _line(root, path) for name, path in _PLAIN_FILES}
    models = (summary.get(key, "")[:120] for key in _MODEL_KEYS)
    found["cpu_model"] = next((model for model in models if model and not model.isdigit()), None)
    found["cpu_vendor"] = summary.get("vendor_id") or summary.get("cpu implementer")
    found["microcode"] = summary.get("microcode")
    found["hypervisor"] = _hypervisor(root, summary, found)
    found["frequency_driver"] = _line(root, f"{CPU_DIR}/cpu{online[0]}/cpufreq/scaling_driver")
    found["frequency_governor"] = _governors(root, online)
    found["turbo"] = _turbo(root)
    found["thp"] = _chosen(root, "sys/kernel/mm/transparent_hugepage/enabled")
    found["thp_defrag"] = _chosen(root, "sys/kernel/mm/transparent_hugepage/defrag")
    found["boot_parameters"] = boot_parameters(root.table("proc/cmdline") or "")
    found["mitigations"] = _mitigations(root)
    return tuple(sorted(found.items()))


def _line(root: Root, path: str) -> str | None:
    text = root.text(path)
    return text.splitlines()[0][:120].strip() or None if text else None


def _chosen(root: Root, path: str) -> str | None:
    """The word in brackets: `always [madvise] never`."""
    match = _CHOSEN.search(root.text(path) or "")
    return match[1] if match else None


def _governors(root: Root, online: CpuSet) -> str | None:
    """The governors of the frequency policies, joined by commas where they differ."""
    policies = root.numbered(f"{CPU_DIR}/cpufreq", "policy")
    where = [f"{CPU_DIR}/cpufreq/policy{policy}" for policy in policies] or [
        f"{CPU_DIR}/cpu{online[0]}/cpufreq"
    ]
    found = {_line(root, f"{directory}/scaling_governor") for directory in where} - {None}
    return ",".join(sorted(name for name in found if name)) or None


def _turbo(root: Root) -> str | None:
    no_turbo = root.integer(f"{CPU_DIR}/intel_pstate/no_turbo")
    if no_turbo is not None:
        return "off" if no_turbo else "on"
    boost = root.integer(f"{CPU_DIR}/cpufreq/boost")
    return None if boost is None else "on" if boost else "off"


def _hypervisor(root: Root, summary: cpuinfo.Record, found: dict[str, str | None]) -> str | None:
    """The hypervisor's name; `unknown` where only the CPU flag tells that there is one, None without any."""
    named = _line(root, "sys/hypervisor/type")
    if named:
        return named
    told = summary.get("hypervisor") or summary.get("hypervisor vendor")
    if told:
        return told[:40]
    dmi = f"{found['machine_vendor'] or ''} {found['machine_product'] or ''}".lower()
    for part, name in _DMI_HYPERVISORS.items():
        if part in dmi:
            return name
    platform = f"{summary.get('platform', '')} {summary.get('model', '')}".lower()
    if "qemu" in platform:
        return "kvm"
    return "unknown" if "hypervisor" in summary.get("flags", "").split() else None


def boot_parameters(command_line: str) -> str | None:
    """Those boot parameters that matter here; no others, for they may hold names and secrets."""
    words = [word for word in command_line.split() if word.partition("=")[0] in _BOOT_WORDS]
    return " ".join(words)[:400] or None


def _mitigations(root: Root) -> str | None:
    """`mitigated: …; vulnerable: …` by the names of sys/devices/system/cpu/vulnerabilities."""
    states: dict[str, list[str]] = {"mitigated": [], "vulnerable": []}
    names = root.names(f"{CPU_DIR}/vulnerabilities")
    for name in names[:100]:
        text = _line(root, f"{CPU_DIR}/vulnerabilities/{name}") or ""
        for state, word in (("mitigated", "Mitigation"), ("vulnerable", "Vulnerable")):
            if text.startswith(word):
                states[state].append(name)
    if not names:
        return None
    return (
        "; ".join(f"{state}: {' '.join(found)}" for state, found in states.items() if found) or "none needed"
    )
