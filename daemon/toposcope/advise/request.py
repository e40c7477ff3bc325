"""What someone wants to run: the question that advice answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from toposcope.errors import ContradictionError, UsageError
from toposcope.matrix import MAX_CPU_ID

Sharing = Literal["shared", "isolated", "pipeline"]
Bound = Literal["cpu", "memory", "io"]
Runtime = Literal["native", "python"]
Smt = Literal["auto", "avoid", "allow"]
Model = Literal["auto", "threads", "processes", "coroutines"]
Objective = Literal["latency", "throughput"]

MAX_WORKERS: Final = 4096
MAX_EDGES: Final = 100_000
MAX_MEMORY_BYTES: Final = 1 << 50
MAX_WEIGHT: Final = 1e12


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
    a CPU each, the best measured set; else fewer workers and simpler sets are legal answers. `model` is what
    the program is made of already (auto: that is a part of the question). `cpus` and
    `avoid_cpus` limit what may be used (None = no limit); `exclusive` leaves out CPUs that are busy now.
    """

    workers: int
    sharing: Sharing = "shared"
    bound: Bound = "cpu"
    runtime: Runtime = "native"
    model: Model = "auto"
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
        self._check_lists()
        self._check_communication()

    def _check_lists(self) -> None:
        for name, ids in (("cpus", self.cpus), ("avoid_cpus", self.avoid_cpus), ("nodes", self.nodes)):
            if ids is not None and not ids and name != "avoid_cpus":
                raise UsageError(f"the list of {name} is empty", "name at least one, or leave the option out")
            if wrong := next((one for one in ids or () if not 0 <= one <= MAX_CPU_ID), None):
                raise UsageError(f"{name}: {wrong} is no id", f"ids are whole numbers from 0 to {MAX_CPU_ID}")
        if self.cpus is not None and not set(self.cpus) - set(self.avoid_cpus):
            raise ContradictionError(
                "no CPU is left to run on", "the CPUs to avoid are all of those allowed; allow more"
            )

    def _check_communication(self) -> None:
        if len(self.communication) > MAX_EDGES:
            raise UsageError(
                f"{len(self.communication)} edges of communication", f"at most {MAX_EDGES} can be weighed"
            )
        if self.communication and self.sharing != "shared":
            raise ContradictionError(
                f"the workers are said to be {self.sharing}, and who talks to whom is given as well",
                "leave out sharing, or the communication",
            )
        for edge in self.communication:
            if not 0 <= edge.weight <= MAX_WEIGHT or min(edge.source, edge.target) < 0:
                raise UsageError(
                    f"the communication from worker {edge.source} to {edge.target} has the weight "
                    f"{edge.weight:g}",
                    f"workers count from 0, and weights are numbers from 0 to {MAX_WEIGHT:g}",
                )
            if max(edge.source, edge.target) >= self.workers:
                raise ContradictionError(
                    f"the communication names worker {max(edge.source, edge.target)}, but there are only "
                    f"{self.workers}",
                    "workers count from 0; raise --workers or correct the file",
                )
            if edge.source == edge.target:
                raise ContradictionError(
                    f"worker {edge.source} is said to talk to itself",
                    "an edge is between two different workers",
                )


_CHOICES: Final = {
    "sharing": get_args(Sharing),
    "bound": get_args(Bound),
    "runtime": get_args(Runtime),
    "model": get_args(Model),
    "smt": get_args(Smt),
    "objective": get_args(Objective),
}
