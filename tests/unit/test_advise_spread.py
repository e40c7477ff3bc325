"""Isolated work: spread over what there is, and by measured bandwidth optimal against all subsets."""

from __future__ import annotations

import itertools
import random

import pytest

from advise_machines import two_sockets
from toposcope.advise.layout import Layout, layout_of
from toposcope.advise.spread import Memory, memory_time, spread_out
from toposcope.topology.model import Machine


def _layout(machine: Machine) -> Layout:
    return layout_of(machine, machine.online_cpus)


def _alone(layout: Layout) -> tuple[int, ...]:
    return tuple(range(len(layout.cpus)))


def test_first_packages_then_domains_then_cores_then_threads() -> None:
    layout = _layout(two_sockets())
    chosen = spread_out(layout, _alone(layout), 16, None, [1.0] * 16)
    assert chosen is not None
    package = [cpu // 8 for cpu in chosen]
    domain = [cpu // 4 for cpu in chosen]
    core = [cpu // 2 for cpu in chosen]
    assert sorted(package[:2]) == [0, 1]
    assert sorted(domain[:4]) == [0, 1, 2, 3]
    assert sorted(core[:8]) == list(range(8))
    assert sorted(chosen) == list(range(16))


def test_avoiding_smt_takes_one_thread_a_core() -> None:
    layout = _layout(two_sockets())
    chosen = spread_out(layout, layout.cores, 8, None, [1.0] * 16)
    assert chosen is not None
    assert len({layout.cores[cpu] for cpu in chosen}) == 8


def test_faster_cores_come_first() -> None:
    layout = _layout(two_sockets(threads=1))
    speeds = [0.4, 1.0] * 4
    chosen = spread_out(layout, layout.cores, 4, None, speeds)
    assert chosen is not None
    assert all(speeds[cpu] == 1.0 for cpu in chosen)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("workers", [2, 3, 5])
def test_memory_time_is_the_least_of_all_subsets(seed: int, workers: int) -> None:
    source = random.Random(seed)
    layout = _layout(two_sockets(threads=1))
    node_of = [0] * 4 + [1] * 4
    memory = Memory(
        node_of,
        latency_ns={0: source.uniform(70, 140), 1: source.uniform(70, 140)},
        bandwidth_bytes_per_s={0: source.uniform(1e10, 4e10), 1: source.uniform(1e10, 4e10)},
        cpu_bandwidth_bytes_per_s=1.2e10,
    )
    chosen = spread_out(layout, layout.cores, workers, memory, [1.0] * 8)
    assert chosen is not None
    best = min(memory_time(memory, subset) for subset in itertools.combinations(range(8), workers))
    assert memory_time(memory, chosen) == pytest.approx(best)


def test_nodes_inside_one_cache_domain_are_told_apart() -> None:
    machine = Machine(is_this_system=False, online_cpus=tuple(range(8)), packages=(tuple(range(8)),))
    layout = _layout(machine)
    memory = Memory([0] * 4 + [1] * 4, {0: 90.0, 1: 90.0}, {0: 1.3e10, 1: 1.3e11}, 1.3e10)
    chosen = spread_out(layout, layout.cores, 4, memory, [1.0] * 8)
    assert chosen is not None
    assert sum(cpu < 4 for cpu in chosen) <= 1
    best = min(memory_time(memory, subset) for subset in itertools.combinations(range(8), 4))
    assert memory_time(memory, chosen) == pytest.approx(best)


def test_nodes_hold_no_more_workers_than_their_memory() -> None:
    layout = _layout(two_sockets(threads=1))
    memory = Memory([0] * 4 + [1] * 4, capacity={0: 1, 1: 4})
    chosen = spread_out(layout, layout.cores, 4, memory, [1.0] * 8)
    assert chosen is not None
    assert sum(cpu < 4 for cpu in chosen) == 1
    assert spread_out(layout, layout.cores, 6, memory, [1.0] * 8) is None


def test_saturating_workers() -> None:
    memory = Memory([0], bandwidth_bytes_per_s={0: 1e11}, cpu_bandwidth_bytes_per_s=1.3e10)
    assert memory.saturating_workers(0) == 8
    assert memory.saturating_workers(1) is None
