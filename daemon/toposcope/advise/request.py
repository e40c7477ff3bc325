"""What someone wants to run: the question that advice answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from toposcope.errors import UsageError

Sharing = Literal["shared", "isolated", "pipeline"]
Bound = Literal["cpu", "memory", "io"]
Runtime = Literal["native", "python"]
Smt = Literal["auto", "avoid", "allow"]
Objective = Literal["latency", "throughput"]

MAX_WORKERS: Final = 4096
MAX_EDGES: Final = 100_000
MAX_MEMORY_BYTES: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class Edge:
    """Worker `source` talks to worker `target` with this relative weight; workers count from 0."""

    source: int
    target: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request for advice. Raises UsageError where it is impossible in itself, whatever the machine.

    `sharing`: all workers work on the same data (shared), on their own (isolated), or each hands over to the
    next (pipeline). `communication` replaces it where only some pairs talk. `exact`: just `workers` of them,
    a CPU each, the best measured set; else fewer workers and simpler sets are legal answers. `cpus` and
    `avoid_cpus` limit what may be used (None = no limit); `exclusive` leaves out CPUs that are busy now.
    """

    workers: int
    sharing: Sharing = "shared"
    bound: Bound = "cpu"
    runtime: Runtime = "native"
    smt: Smt = "auto"
    objective: Objective = "throughput"
    exact: bool = False
    exclusive: bool = False
    memory_bytes_per_worker: int | None = None
    cpus: tuple[int, ...] | None = None
    avoid_cpus: tuple[int, ...] = ()
    nodes: tuple[int, ...] | None = None
    communication: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MAX_WORKERS:
            raise UsageError(f"{self.workers} workers can't be placed", f"ask for 1 to {MAX_WORKERS} workers")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{name} is {str(getattr(self, name))[:40]!r}", f"it is one of {', '.join(allowed)}"
                )
        memory = self.memory_bytes_per_worker
        if memory is not None and not 0 < memory <= MAX_MEMORY_BYTES:
            raise UsageError(
                f"{memory} bytes of memory a worker make no sense", "give a positive size, for example 2G"
            )
        if self.cpus is not None and not set(self.cpus) - set(self.avoid_cpus):
            raise UsageError(
                "no CPU is left to run on", "the CPUs to avoid are all of those allowed; allow more"
            )
        if self.nodes is not None and not self.nodes:
            raise UsageError("the list of nodes is empty", "name a node, or leave the option out")
        self._check_communication()

    def _check_communication(self) -> None:
        if len(self.communication) > MAX_EDGES:
            raise UsageError(
                f"{len(self.communication)} edges of communication", f"at most {MAX_EDGES} can be weighed"
            )
        for edge in self.communication:
            if not (0 <= edge.source < self.workers and 0 <= edge.target < self.workers):
                raise UsageError(
                    f"the communication names worker {max(edge.source, edge.target)}, but there are only "
                    f"{self.workers}",
                    "workers count from 0; raise --workers or correct the file",
                )
            if edge.source == edge.target or not 0 <= edge.weight < float("inf"):
                raise UsageError(
                    f"the communication from worker {edge.source} to {edge.target} has the weight "
                    f"{edge.weight:g}",
                    "weights are positive numbers between two different workers",
                )


_CHOICES: Final = {
    "sharing": get_args(Sharing),
    "bound": get_args(Bound),
    "runtime": get_args(Runtime),
    "smt": get_args(Smt),
    "objective": get_args(Objective),
}
