"""Machines to replay: a declared topology and a matrix that fits it, of any size. Never real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from toposcope.matrix import Matrix
from toposcope.topology.model import Cache, Distances, Machine, Node


@dataclass(frozen=True)
class Model:
    """A CPU model as a replay needs it. Every package has the same L3 domains, every node the same share."""

    name: str
    packages: int = 2
    l3_domains_per_package: int = 1
    cores_per_l3: int = 8
    threads: int = 2
    nodes_per_package: int = 1
    latency_ns: dict[str, float] = field(
        default_factory=lambda: {"smt": 8.0, "l3": 24.0, "package": 95.0, "cross_package": 205.0}
    )

    @property
    def core_count(self) -> int:
        """Cores of the whole machine."""
        return self.packages * self.l3_domains_per_package * self.cores_per_l3


TWO_SOCKETS = Model(
    "Replay 2x8", packages=2, cores_per_l3=8, latency_ns={"smt": 7, "l3": 22, "cross_package": 118}
)
# 2 packages x 12 L3 domains x 8 cores x 2 threads, 4 nodes a package.
BIG_384 = Model("Replay 384", l3_domains_per_package=12, nodes_per_package=4)


def machine(model: Model) -> Machine:
    """The declared topology: core c has the CPUs c and c + core_count, as x86 Linux numbers them."""
    cores = [tuple(core + thread * model.core_count for thread in range(model.threads))
             for core in range(model.core_count)]  # fmt: skip

    def split(parts: int) -> list[tuple[int, ...]]:
        size = model.core_count // parts
        return [
            tuple(sorted(cpu for core in cores[i * size : (i + 1) * size] for cpu in core))
            for i in range(parts)
        ]

    l3 = split(model.packages * model.l3_domains_per_package)
    nodes = split(model.packages * model.nodes_per_package)
    count = len(nodes)
    distances = tuple(tuple(10 if i == j else 12 if i // model.nodes_per_package == j // model.nodes_per_package
                            else 32 for j in range(count)) for i in range(count))  # fmt: skip
    return Machine(
        is_this_system=False,
        online_cpus=tuple(range(model.core_count * model.threads)),
        packages=tuple(split(model.packages)),
        cores=tuple(cores),
        smt_max=model.threads,
        numa_exposed=True,
        numa_nodes=tuple(Node(i, cpus, 64 << 30) for i, cpus in enumerate(nodes)),
        distances=Distances(tuple(range(count)), distances),
        caches=tuple(Cache(3, "Unified", 32 << 20, cpus) for cpus in l3),
        settings=(("cpu_model", model.name), ("architecture", "x86_64"), ("turbo", "on")),
    )


def matrix(
    model: Model, *, seed: int = 0, factors: dict[str, float] | None = None, noise: float = 0.02
) -> Matrix:
    """Latencies by relation with Gaussian noise; `factors` slow single relations down (a planted outlier)."""
    rng = Random(f"replay {model.name} {seed}")
    described = machine(model)
    host = 1 + rng.gauss(0, 0.01)
    cpus = described.online_cpus
    cells: list[list[float | None]] = [[None] * len(cpus) for _ in cpus]
    for i, cpu in enumerate(cpus):
        for j in range(i):
            relation = described.relation(cpu, cpus[j])
            centre = model.latency_ns.get(relation, model.latency_ns.get("package", 60.0) * 0.8)
            value = centre * host * (factors or {}).get(relation, 1.0) * max(0.5, rng.gauss(1, noise))
            cells[i][j] = cells[j][i] = value
    return Matrix(cpus, tuple(map(tuple, cells)))
