"""What is known when advice is given: the machine, what was measured on it, and what runs there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toposcope.judgements import ClaimStanding
from toposcope.matrix import Matrix
from toposcope.topology.model import Machine

Mode = Literal["live", "replay"]
Stability = Literal["stable", "unstable", "unknown"]


@dataclass(frozen=True, slots=True)
class NodeCosts:
    """What memory costs, measured: CPU's node × memory's node. Pairs that are absent were not measured.

    `bandwidth_bytes_per_s` is what all CPUs of a node reach together, `cpu_bandwidth_bytes_per_s` what one
    CPU reaches in its own node.
    """

    latency_ns: Mapping[tuple[int, int], float] = field(default_factory=dict)
    bandwidth_bytes_per_s: Mapping[tuple[int, int], float] = field(default_factory=dict)
    cpu_bandwidth_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class OneCpuGain:
    """What a Python server gained here by being bound to one CPU: its rate there by that on all CPUs.

    `model` is threads or coroutines; `low` and `high` are the ratio's 95 % interval.
    """

    model: str
    interpreter: str
    ratio: float
    low: float
    high: float
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What runs now: CPUs that others keep busy (if anyone looked), and free memory of each node."""

    busy_cpus: tuple[int, ...] = ()
    free_memory_bytes: Mapping[int, int] = field(default_factory=dict)
    cpus_are_known: bool = True


@dataclass(frozen=True)
class Evidence:
    """All that advice rests on.

    `matrix` holds pair latencies (ns one way), `matrix_error_ratio` the relative error of one of them (None:
    it is told from the two directions where both were measured). `machine_is_declared` is False where there
    is only a matrix: then nothing tells packages, nodes or SMT. `age_s` is that of the oldest result used.
    """

    machine: Machine
    machine_is_declared: bool = True
    matrix: Matrix | None = None
    matrix_error_ratio: float | None = None
    node_costs: NodeCosts | None = None
    claims: tuple[ClaimStanding, ...] = ()
    one_cpu_gains: tuple[OneCpuGain, ...] = ()
    load: Load | None = None
    mode: Mode = "live"
    source: str = ""
    age_s: float | None = None
    placement: Stability = "unknown"

    def claim(self, name: str) -> ClaimStanding | None:
        """One claim's result, or None where it was not tested."""
        return next((result for result in self.claims if result.claim == name), None)
