"""Placement: recorded traces say again what they said, and what both sides saw agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from generators.traces import agreement, read_trace, standing_of
from toposcope import placement
from toposcope.measure.validity import judge_result
from toposcope.results import Estimate, Identity, Result, Target, Visit

_TRACES = sorted((Path(__file__).resolve().parents[1] / "traces").glob("placement_*.json"))


def _result(values: list[float], relation: str = "l3", probe: str = "cacheline_cas") -> Result:
    visits = [
        Visit(60.0 * i, 0.003, "ok", "", {"latency_ns": Estimate(v, v, v, v, v * 0.99, v * 1.01, 0.0)})
        for i, v in enumerate(values)
    ]
    return judge_result(Identity(probe, Target((0, 1)), {"model": "thread"}, relation), "latency_ns", visits)


def test_there_is_a_trace_of_each_kind() -> None:
    assert {path.name.split("_")[1].removesuffix(".json") for path in _TRACES} >= {"stable", "unstable"}


@pytest.mark.parametrize("path", _TRACES, ids=lambda path: path.stem)
def test_a_recorded_trace_is_judged_as_the_daemon_did_and_as_c2clat_shows(path: Path) -> None:
    trace = read_trace(path)
    standing = standing_of(trace)
    assert standing.placement == trace.placement == path.name.split("_")[1].removesuffix(".json")
    assert [pair["id"] for pair in placement.to_json(standing)["pairs"]] == [
        pair["id"] for pair in trace.placement_evidence["pairs"]
    ]
    found = agreement(trace)
    assert found["agrees"], found
    if standing.placement == "unstable":
        declared = {each.identity.relation for each in trace.results}
        assert set(standing.contradicted) <= declared
        assert standing.contradicted


def test_a_pair_that_moves_contradicts_its_relation_and_says_where_it_was() -> None:
    standing = placement.judge([_result([26.0, 109.0, 26.4, 108.0, 9.0, 26.1, 9.1, 26.2, 110.0, 26.0])])
    assert standing.placement == "unstable"
    assert standing.contradicted == ("l3",)
    (pair,) = standing.moving
    assert [round(mode.value.estimate) for mode in pair.modes] == [9, 26, 109]
    assert sum(mode.share for mode in pair.modes) == pytest.approx(1.0)
    assert pair.sentence() == (
        "CPUs 0 and 1 are declared l3, but latency_ns keeps returning to 3 values: "
        "9.05 (20%), 26.1 (50%), 109 (30%)"
    )
    document = placement.to_json(standing)
    assert document["contradicted_relations"] == ["l3"]
    assert [mode["visits"] for mode in document["pairs"][0]["modes"]] == [2, 5, 3]


def test_one_pair_that_moves_is_enough_and_one_that_stays_is_stable() -> None:
    still, moving = _result([26.0] * 12), _result([26.0, 109.0] * 6, "package", "cacheline_handover")
    assert placement.judge([still]).placement == "stable"
    assert placement.judge([still, moving]).contradicted == ("package",)


def test_few_visits_and_other_probes_tell_nothing() -> None:
    assert placement.judge([]).placement == "unknown"
    assert placement.judge([_result([26.0] * 9)]).placement == "unknown"
    assert placement.judge([_result([26.0, 109.0] * 6, probe="wakeup")]).placement == "unknown"


def test_no_more_pairs_are_listed_than_people_read() -> None:
    standing = placement.judge([_result([26.0, 109.0] * 6)] * 20)
    assert len(standing.moving) == placement.PAIRS_SHOWN_MAX
    assert standing.count == 20
