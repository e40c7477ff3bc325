"""taskset, numactl and systemd: what sets the kernel's affinity and memory policy directly."""

from __future__ import annotations

from toposcope.advise.launchers.launch import Launch
from toposcope.topology.cpulist import format_cpulist


def taskset(launch: Launch) -> str:
    """util-linux `taskset(1)`; it sets no memory policy."""
    return f"taskset --cpu-list {launch.cpu_list} {launch.shell_command}"


def numactl(launch: Launch) -> str:
    """`numactl(8)`; one line for each process where the model has one per node or L3 domain."""
    if launch.model == "process_per_node" and len(launch.nodes) > 1:
        nodes = launch.cpus_by_node.items()
        parts = [(cpus, f" --membind={node}") for node, cpus in nodes if node is not None]
    elif launch.model == "process_per_l3_domain" and launch.processes > 1:
        parts = [(cpus, _memory(launch)) for cpus in launch.cpus_by_domain]
    else:
        return f"numactl --physcpubind={launch.cpu_list}{_memory(launch)} {launch.shell_command}"
    lines = [
        f"numactl --physcpubind={format_cpulist(sorted(cpus))}{memory} {launch.shell_command} &"
        for cpus, memory in parts
    ]
    return "\n".join([*lines, "wait"])


def _memory(launch: Launch) -> str:
    if launch.memory_policy == "bind":
        return f" --membind={launch.node_list}"
    if launch.memory_policy == "interleave":
        return f" --interleave={launch.node_list}"
    return " --localalloc" if launch.memory_policy == "local" else ""


def systemd(launch: Launch) -> str:
    """Lines of a unit's drop-in: systemd.exec(5) and systemd.resource-control(5).

    AllowedCPUs= needs the unified cgroup hierarchy; it also holds what the service starts later.
    """
    lines = ["[Service]", f"CPUAffinity={launch.cpu_list}", f"AllowedCPUs={launch.cpu_list}"]
    if launch.memory_policy in ("bind", "interleave"):
        lines += [f"NUMAPolicy={launch.memory_policy}", f"NUMAMask={launch.node_list}"]
        lines += [f"AllowedMemoryNodes={launch.node_list}"]
    elif launch.memory_policy == "local":
        lines.append("NUMAPolicy=local")
    return "\n".join(lines)
