"""Kinds of cores: performance and efficient ones of hybrid x86, big and little ones of Arm, capacities.

Evidence, the best first: the PMU that x86 registers for each kind (cpu_core, cpu_atom, cpu_lowpower since
Linux 5.13, Documentation/admin-guide/perf/intel-hybrid.rst); the model number of each Arm core (MIDR_EL1
or `CPU part`); cpu_capacity (other Arm and RISC-V); sizes of first-level caches together with frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from toposcope.topology.model import Cache, CpuSet, Partition
from toposcope.topology.phases import cpuinfo
from toposcope.topology.phases.arm_models import arm_model
from toposcope.topology.phases.cpus import CPU_DIR
from toposcope.topology.sysfs import Root

_PMUS: Final = (("cpu_core", "performance"), ("cpu_atom", "efficient"), ("cpu_lowpower", "low power"))
# Frequencies of favoured cores ("Turbo Boost Max 3.0") lie within this of the others and make no type.
_FREQUENCY_GAP_RATIO: Final = 1.2

Types = tuple[Partition | None, tuple[str, ...] | None]


def read_core_types(root: Root, online: CpuSet, caches: Sequence[Cache], first: cpuinfo.Record) -> Types:
    """The partition of the online CPUs by type, and the types' names in the same order.

    One type for all where the evidence shows them equal; None where nothing tells. `first` is what
    /proc/cpuinfo says of the first CPU.
    """
    by_pmu = _by_pmu(root, online)
    if by_pmu is not None:
        return by_pmu
    models = _arm_models(root, online) if _is_arm(root, online, first) else {}
    if models:
        return _grouped(models, online, "{}")
    capacities = {cpu: str(capacity) for cpu, capacity in read_capacities(root, online)}
    if len(capacities) == len(online):
        return _grouped(capacities, online, "of capacity {}")
    frequencies = _frequency_classes(root, online)
    sizes = _first_level_sizes(caches)
    if set(sizes) == set(online) and len(set(sizes.values())) > 1:
        both = {cpu: f"{size} {frequencies.get(cpu, '')}".strip() for cpu, size in sizes.items()}
        return _grouped(both, online, "with {}")
    return _grouped(frequencies, online, "{}")


def _grouped(labels: Mapping[int, str], online: CpuSet, name: str) -> Types:
    groups: dict[str, list[int]] = {}
    for cpu in online:
        if cpu in labels:
            groups.setdefault(labels[cpu], []).append(cpu)
    if not groups:
        return None, None
    ordered = sorted((tuple(cpus), label) for label, cpus in groups.items())
    return tuple(cpus for cpus, _ in ordered), tuple(name.format(label) for _, label in ordered)


def _by_pmu(root: Root, online: CpuSet) -> Types | None:
    labels: dict[int, str] = {}
    for directory, name in _PMUS:
        for cpu in root.cpulist(f"sys/devices/{directory}/cpus") or ():
            labels.setdefault(cpu, name)
    if not labels:
        return None
    left = [cpu for cpu in online if cpu not in labels]
    if left:
        root.doubt(f"core types: CPU {left[0]} is in no PMU's list of CPUs")
    return _grouped(labels, online, "{}")


def _is_arm(root: Root, online: CpuSet, first: cpuinfo.Record) -> bool:
    return "cpu part" in first or root.exists(f"{CPU_DIR}/cpu{online[0]}/regs")


def _arm_models(root: Root, online: CpuSet) -> dict[int, str]:
    models = {}
    for cpu in online:
        text = root.text(f"{CPU_DIR}/cpu{cpu}/regs/identification/midr_el1")
        if text is not None and len(text) <= 18:
            try:
                models[cpu] = arm_model(int(text, 16))
            except ValueError:
                root.doubt(f"cpu{cpu}: midr_el1 {text!r} makes no sense")
    return models if len(models) == len(online) else _arm_models_of_cpuinfo(root, online)


def _arm_models_of_cpuinfo(root: Root, online: CpuSet) -> dict[int, str]:
    models = {}
    wanted = set(online)
    for record in cpuinfo.read_records(root):
        implementer, part = cpuinfo.number(record, "cpu implementer"), cpuinfo.number(record, "cpu part")
        cpu = int(record["processor"]) if len(record["processor"]) < 6 else -1
        if implementer is not None and part is not None and cpu in wanted:
            models[cpu] = arm_model(implementer << 24 | part << 4)
    return models if len(models) == len(online) else {}


def _first_level_sizes(caches: Sequence[Cache]) -> dict[int, str]:
    sizes: dict[int, dict[str, int]] = {}
    for cache in caches:
        if cache.level == 1 and cache.size_bytes:
            for cpu in cache.cpus:
                sizes.setdefault(cpu, {})[cache.type] = cache.size_bytes >> 10
    return {cpu: ", ".join(f"L1{kind[0].lower()} {size} KiB" for kind, size in sorted(by_kind.items()))
            for cpu, by_kind in sizes.items()}  # fmt: skip


def _frequency_classes(root: Root, online: CpuSet) -> dict[int, str]:
    """By base frequency where there is one (intel_pstate), else by maximum; {} where some CPU lacks it."""
    where = _policy_directories(root, online)
    first = where.get(online[0])
    name = next(
        (name for name in ("base_frequency", "cpuinfo_max_freq") if root.exists(f"{first}/{name}")), None
    )
    if first is None or name is None:
        return {}
    frequencies_khz = {}
    for cpu in online:
        frequency_khz = root.integer(f"{where[cpu]}/{name}") if cpu in where else None
        if frequency_khz is None or frequency_khz <= 0:
            return {}
        frequencies_khz[cpu] = frequency_khz
    return _split_by_gap(frequencies_khz)


def _policy_directories(root: Root, online: CpuSet) -> dict[int, str]:
    """Each CPU's frequency policy: below the CPU, where that link is missing, below cpufreq."""
    if root.exists(f"{CPU_DIR}/cpu{online[0]}/cpufreq"):
        return {cpu: f"{CPU_DIR}/cpu{cpu}/cpufreq" for cpu in online}
    found = {}
    for policy in root.numbered_directories(f"{CPU_DIR}/cpufreq", "policy"):
        where = f"{CPU_DIR}/cpufreq/policy{policy}"
        for word in (root.text(f"{where}/related_cpus") or "").split():
            if word.isascii() and word.isdigit() and len(word) < 6:
                found[int(word)] = where
    return found


def _split_by_gap(frequencies_khz: Mapping[int, int]) -> dict[int, str]:
    """Each CPU's class: frequencies belong together until one is a good deal above the one before."""
    labels: dict[int, str] = {}
    before = class_khz = 0
    for cpu, frequency_khz in sorted(frequencies_khz.items(), key=lambda item: (item[1], item[0])):
        if frequency_khz > before * _FREQUENCY_GAP_RATIO:
            class_khz = frequency_khz
        before = frequency_khz
        labels[cpu] = f"about {class_khz // 1000} MHz"
    return labels


def read_capacities(root: Root, online: CpuSet) -> tuple[tuple[int, int], ...]:
    """(cpu_id, capacity) of the CPUs that have one: Arm and RISC-V, the largest is 1024.

    Documentation/ABI/testing/sysfs-devices-system-cpu, cpu_capacity.
    """
    if not root.exists(f"{CPU_DIR}/cpu{online[0]}/cpu_capacity"):
        return ()
    pairs = ((cpu, root.integer(f"{CPU_DIR}/cpu{cpu}/cpu_capacity")) for cpu in online)
    return tuple(
        (cpu, capacity) for cpu, capacity in pairs if capacity is not None and 0 < capacity <= 1 << 16
    )
