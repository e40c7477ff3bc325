"""What a launcher is told: CPUs in binding order, memory, the model, and the command to start."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.model import Machine


@dataclass(frozen=True)
class Launch:
    """A placement, the machine it is on, and the command as separate words.

    `memory_policy` is default, local, bind or interleave; `model` one of `models.Model`.
    """

    cpus: tuple[int, ...]
    nodes: tuple[int, ...]
    memory_policy: str
    model: str
    machine: Machine
    command: tuple[str, ...]

    @property
    def workers(self) -> int:
        """As many as CPUs."""
        return len(self.cpus)

    @property
    def cpu_list(self) -> str:
        """Ascending, with ranges: `0-3,8`."""
        return format_cpulist(sorted(self.cpus))

    @property
    def cpus_in_order(self) -> str:
        """In binding order, without ranges: `3,0,1`."""
        return ",".join(map(str, self.cpus))

    @property
    def node_list(self) -> str:
        """Ascending, with ranges."""
        return format_cpulist(self.nodes)

    @property
    def shell_command(self) -> str:
        """The command, quoted so that a POSIX shell hands on exactly these words."""
        return shlex.join(self.command)

    @property
    def processes(self) -> int:
        """How many processes the model starts; each has `workers / processes` threads or tasks."""
        if self.model == "processes":
            return self.workers
        if self.model == "process_per_node":
            return max(1, len(self.nodes))
        if self.model == "process_per_l3_domain":
            return max(1, len(self.cpus_by_domain))
        return 1

    @property
    def cpus_by_node(self) -> dict[int | None, tuple[int, ...]]:
        """The CPUs on each node, None where the machine has no nodes."""
        parts: dict[int | None, tuple[int, ...]] = {}
        for cpu in self.cpus:
            node = self.machine.node_of(cpu)
            parts[node] = (*parts.get(node, ()), cpu)
        return parts

    @property
    def cpus_by_domain(self) -> list[tuple[int, ...]]:
        """The CPUs in each L3 domain (all together where none is declared)."""
        domains = self.machine.cache_partition(3) or (self.machine.online_cpus,)
        parts = (tuple(cpu for cpu in self.cpus if cpu in domain) for domain in domains)
        return [part for part in parts if part]
