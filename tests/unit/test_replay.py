"""Replay: groups and domain pairs of a machine that was never here."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators import replays
from toposcope import replay
from toposcope.errors import UsageError
from toposcope.matrix import Matrix, format_csv
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.model import Machine, partition_of
from toposcope.view import View


def summarised(model):
    return replay.summarise(replays.machine(model), replays.matrix(model))


def test_groups_hold_every_pair_once_under_its_relation():
    machine, matrix = replays.machine(replays.TWO_SOCKETS), replays.matrix(replays.TWO_SOCKETS)
    groups = {group.key.relation: group for group in replay.summarise(machine, matrix).groups}
    pairs = list(itertools.combinations(machine.online_cpus, 2))
    assert {name: group.results for name, group in groups.items()} == {
        name: sum(machine.relation(*pair) == name for pair in pairs)
        for name in ("smt", "package", "cross_package")
    }
    for name, group in groups.items():
        values = sorted(matrix.value(*pair) for pair in pairs if machine.relation(*pair) == name)
        estimate = group.estimates["latency_ns"]
        assert estimate.estimate == statistics.median(values)
        assert estimate.min == values[0]
        assert estimate.low <= estimate.estimate <= estimate.high <= values[-1]
        assert group.verdict == "ok"
        assert group.last_success_time_s is None


@given(st.lists(st.lists(st.sets(st.integers(0, 7), min_size=2), max_size=3), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None)
def test_relations_are_the_models_own_even_where_sets_cross(levels):
    def disjoint(sets):
        chosen = []
        for each in sets:
            if not any(each & other for other in chosen):
                chosen.append(each)
        return partition_of(chosen)

    smt, die, package = map(disjoint, levels)
    machine = Machine(False, tuple(range(8)), cores=smt, dies=die, packages=package)
    ones = Matrix(tuple(range(8)), tuple(tuple(None if i == j else 1.0 for j in range(8)) for i in range(8)))
    found = {group.key.relation: group.results for group in replay.summarise(machine, ones).groups}
    expected: dict[str, int] = {}
    for pair in itertools.combinations(range(8), 2):
        relation = machine.relation(*pair)
        expected[relation] = expected.get(relation, 0) + 1
    assert found == expected


def test_domain_pairs_are_unordered_and_complete():
    pairs = summarised(replays.BIG_384).domain_pairs
    l3 = [(pair.domain, pair.other_domain) for pair in pairs if pair.level == "l3"]
    assert len(l3) == len(set(l3)) == 24 * 25 // 2
    assert all(domain <= other for domain, other in l3)
    nodes = {(pair.domain, pair.other_domain): pair.group for pair in pairs if pair.level == "node"}
    assert len(nodes) == 8 * 9 // 2
    near, far = nodes[0, 1].estimates["latency_ns"], nodes[0, 7].estimates["latency_ns"]
    assert far.estimate > 1.5 * near.estimate


def test_cells_that_are_not_positive_are_no_values():
    machine = Machine(False, (0, 1, 2), packages=((0, 1, 2),))

    def verdict(*cells):
        a, b, c = cells
        matrix = Matrix((0, 1, 2), ((None, a, b), (None, None, c), (None, None, None)))
        (group,) = replay.summarise(machine, matrix).groups
        return group.verdict, group.estimates.get("latency_ns")

    assert verdict(0.0, -1.0, 9.0) == ("failed", None)
    assert verdict(8.0, 0.0, 9.0)[0] == "ok"
    assert verdict(8.0, 0.0, 9.0)[1].min == 8.0


def test_a_view_of_a_replay_has_no_result_of_its_own():
    machine = replays.machine(replays.TWO_SOCKETS)
    view = View(machine, fingerprint(machine), mode="replay", matrix=replays.matrix(replays.TWO_SOCKETS))
    assert view.results == ()
    assert view.placement == "unknown"
    assert view.groups() is view.groups()


def test_a_matrix_alone_makes_a_machine_that_says_what_is_assumed(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(format_csv(Matrix((3, 7), ((None, 20.0), (20.0, None)))))
    machine, matrix = replay.load(matrix_file=path)
    assert machine.online_cpus == (3, 7) == matrix.cpus
    assert not machine.is_this_system
    assert machine.relation(3, 7) == "package"
    assert "only a matrix was given" in machine.doubts[0]


def test_a_matrix_of_another_machine_is_refused(tmp_path):
    import msgspec

    from toposcope.topology.document import to_document

    (tmp_path / "t.json").write_bytes(msgspec.json.encode(to_document(replays.machine(replays.TWO_SOCKETS))))
    (tmp_path / "m.csv").write_text("cpu,0,99\n0,,5\n99,5,\n")
    with pytest.raises(UsageError, match="CPU 99 is not online"):
        replay.load(topology_file=tmp_path / "t.json", matrix_file=tmp_path / "m.csv")
