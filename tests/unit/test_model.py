"""Relations of two CPUs on machines with levels missing, equal, or odd."""

from __future__ import annotations

from toposcope.topology.model import Cache, Machine, Node


def test_equal_sets_take_the_widest_name_and_missing_levels_are_skipped() -> None:
    machine = Machine(
        is_this_system=False,
        online_cpus=(0, 1, 2, 3),
        packages=((0, 1, 2, 3),),
        dies=((0, 1, 2, 3),),
        cores=((0, 1), (2, 3)),
        numa_nodes=(Node(0, (0, 1, 2, 3), 1 << 30),),
        caches=(Cache(2, "Unified", 1 << 20, (0, 1)), Cache(2, "Unified", 1 << 20, (2, 3)),
                Cache(3, "Unified", 32 << 20, (0, 1, 2, 3))),
    )  # fmt: skip
    assert machine.relation(0, 1) == "l2"
    assert machine.relation(0, 2) == "package"


def test_l3_domains_and_nodes_inside_a_package() -> None:
    machine = Machine(
        is_this_system=False,
        online_cpus=tuple(range(8)),
        packages=(tuple(range(8)),),
        cores=tuple((cpu,) for cpu in range(8)),
        numa_nodes=(Node(0, (0, 1, 2, 3), 1), Node(1, (4, 5, 6, 7), 1)),
        caches=tuple(Cache(3, "Unified", None, (cpu, cpu + 1)) for cpu in range(0, 8, 2)),
    )
    assert machine.relation(0, 1) == "l3"
    assert machine.relation(0, 2) == "node"
    assert machine.relation(0, 7) == "package"


def test_a_node_that_spans_all_packages_separates_nothing() -> None:
    machine = Machine(
        is_this_system=False,
        online_cpus=(0, 1, 2, 3),
        packages=((0, 1), (2, 3)),
        numa_nodes=(Node(0, (0, 1, 2, 3), 1),),
    )
    assert machine.relation(0, 1) == "package"
    assert machine.relation(0, 2) == "cross_package"


def test_where_every_vcpu_is_a_package_the_nodes_still_count() -> None:
    machine = Machine(
        is_this_system=False,
        online_cpus=(0, 1, 2, 3),
        packages=((0,), (1,), (2,), (3,)),
        numa_nodes=(Node(0, (0, 1), 1), Node(1, (2, 3), 1)),
    )
    assert machine.relation(0, 1) == "node"
    assert machine.relation(1, 2) == "cross_package"


def test_books_hold_packages() -> None:
    machine = Machine(
        is_this_system=False,
        online_cpus=(0, 1, 2),
        packages=((0,), (1,), (2,)),
        books=((0, 1), (2,)),
        drawers=((0, 1, 2),),
    )
    assert machine.relation(0, 1) == "book"
    assert machine.relation(0, 2) == "drawer"
