"""Names for the ways to run a machine: given where the pattern shows, and nowhere else."""

from __future__ import annotations

import pytest

from toposcope.topology.model import Cache, Machine, Node
from toposcope.topology.named_modes import name_modes

EIGHT = tuple(range(8))
PAIRS = tuple((cpu, cpu + 1) for cpu in range(0, 8, 2))
HALVES = (EIGHT[:4], EIGHT[4:])


def machine(
    packages: tuple[tuple[int, ...], ...] = (EIGHT,),
    nodes: tuple[tuple[int, ...], ...] = (EIGHT,),
    l3: tuple[tuple[int, ...], ...] = (EIGHT,),
    **settings: str,
) -> Machine:
    return Machine(
        is_this_system=False,
        online_cpus=EIGHT,
        packages=packages,
        cores=tuple((cpu,) for cpu in EIGHT),
        numa_nodes=tuple(Node(index, cpus, 1 << 30) for index, cpus in enumerate(nodes)),
        caches=tuple(Cache(3, "Unified", 1 << 24, cpus) for cpus in l3),
        settings=tuple(settings.items()),
    )


SINGLES = tuple((cpu,) for cpu in EIGHT)


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (machine(), []),
        (machine(packages=HALVES, nodes=HALVES, l3=HALVES), []),
        (machine(nodes=HALVES, l3=PAIRS, cpu_model="AMD EPYC 7763"), ["NPS2"]),
        (machine(nodes=PAIRS, l3=SINGLES, cpu_model="AMD EPYC 7763"), ["NPS4"]),
        (machine(nodes=PAIRS, l3=PAIRS, cpu_model="AMD EPYC 7763"), ["L3 as NUMA"]),
        (machine(nodes=HALVES, l3=HALVES, cpu_model="AMD Opteron 6276"), ["several nodes a package"]),
        (machine(nodes=HALVES, cpu_model="Intel Xeon Gold 6230"), ["SNC2"]),
        (machine(nodes=PAIRS, cpu_model="Intel Xeon 8480"), ["SNC4"]),
        (machine(nodes=HALVES, l3=HALVES, cpu_model="Intel Xeon E5-2680 v3"), ["cluster on die"]),
        (machine(packages=HALVES), ["node spans packages"]),
        (machine(packages=SINGLES, l3=SINGLES, hypervisor="kvm"), ["every vCPU its own package"]),
        (machine(packages=SINGLES), ["every vCPU its own package"]),
        (machine(packages=SINGLES, nodes=SINGLES, l3=SINGLES), []),
        (machine(smt_control="off"), ["SMT off"]),
        (machine(smt_control="on"), []),
        # A node that crosses the packages' borders is neither NPS nor SNC.
        (machine(packages=HALVES, nodes=(EIGHT[:3], EIGHT[3:]), cpu_model="Intel Xeon"), []),
    ],
)
def test_modes_are_named(shape: Machine, names: list[str]) -> None:
    findings = name_modes(shape)
    assert [finding.name for finding in findings] == names
    assert all(finding.evidence for finding in findings)
