"""The judge: declared against measured, by the whole matrix in a child, or by a sample of a large machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from generators import replays
from toposcope.clock import ManualClock
from toposcope.inferring import infer_in_child
from toposcope.judge import Judge
from toposcope.matrix import Matrix
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.infer import infer
from toposcope.view import View

_SMALL = replays.TWO_SOCKETS


class _Judged:
    def __init__(self, model: replays.Model) -> None:
        machine = replays.machine(model)
        self.clock = ManualClock()
        self.view = View(machine, fingerprint(machine))
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.costs_s: list[float] = []
        self.judge = Judge(self.view, self.clock, self._note, self.costs_s.append)

    async def _note(self, kind: str, event: dict[str, Any]) -> None:
        self.events.append((kind, event))

    def measured(self, pairs: Mapping[tuple[int, int], float]) -> None:
        for (cpu, other), value in pairs.items():
            estimate = Estimate(value, value, value, value, value * 0.99, value * 1.01, 0.0)
            relation = self.view.machine.relation(cpu, other)
            identity = Identity("cacheline_cas", Target((cpu, other)), {"model": "thread"}, relation)
            self.view.add(identity, "latency_ns", Visit(1.0, 0.003, "ok", "", {"latency_ns": estimate}))

    def conclude(self) -> None:
        asyncio.run(self.judge.conclude())

    @property
    def states(self) -> dict[str, str]:
        return dict(self.view.judgements.agreement)


def _pairs(matrix: Matrix, every: int = 1) -> dict[tuple[int, int], float]:
    values = {(a, b): matrix.value(a, b) for a in matrix.cpus for b in matrix.cpus if a < b}
    return {pair: value for index, (pair, value) in enumerate(values.items())
            if index % every == 0 and value is not None}  # fmt: skip


def test_what_is_declared_truly_agrees_and_the_child_is_paid_for() -> None:
    host = _Judged(_SMALL)
    host.measured(_pairs(replays.matrix(_SMALL)))
    host.conclude()
    assert host.states["smt"] == host.states["package"] == "agrees"
    declared, inference = host.view.judgements.declared, host.view.judgements.inference
    assert declared is not None
    assert inference is not None
    assert all(level.agreement == 1.0 for level in declared.levels if level.state == "agrees")
    assert inference.verdict == "structured"
    assert host.events == []
    assert len(host.costs_s) == 1
    assert host.costs_s[0] > 0


def test_the_child_runs_again_only_after_a_time_that_its_cost_allows() -> None:
    host = _Judged(_SMALL)
    host.measured(_pairs(replays.matrix(_SMALL)))
    host.conclude()
    host.measured({(0, 1): 23.0})
    host.clock.advance(1.0)
    host.conclude()
    assert len(host.costs_s) == 1
    host.clock.advance(host.costs_s[0] / 0.0005)
    host.conclude()
    assert len(host.costs_s) == 2
    host.clock.advance(1e6)
    host.conclude()  # nothing new was measured
    assert len(host.costs_s) == 2


def test_a_contradiction_is_told_once_with_its_likely_cause() -> None:
    flat = replays.Model("flat", cores_per_l3=8, latency_ns={"smt": 60, "l3": 60, "cross_package": 60})
    host = _Judged(flat)
    for seed in (0, 1):
        host.measured(_pairs(replays.matrix(flat, seed=seed, noise=0.05)))
        host.conclude()
        host.clock.advance(1e6)
    told = [event["relation"] for kind, event in host.events if kind == "declared_contradicted"]
    assert len(told) == len(set(told)) > 0
    assert all(event["cause"] for _, event in host.events)


def test_a_large_machine_is_judged_by_a_sample_and_says_what_it_lacks() -> None:
    host = _Judged(replays.BIG_384)
    host.measured(_pairs(replays.matrix(replays.BIG_384), every=331))
    host.conclude()
    declared = host.view.judgements.declared
    assert declared is not None
    assert host.costs_s == []
    assert host.view.judgements.inference is None
    assert host.states["l3"] == host.states["package"] == "agrees"
    assert "pairs were measured: each level is judged by a sample" in declared.doubts[0]


def test_nothing_measured_is_nothing_concluded() -> None:
    host = _Judged(_SMALL)
    host.conclude()
    assert host.view.judgements.declared is None
    assert host.states == {}


@pytest.mark.parametrize("verdict", ["structured", "unusable"])
def test_the_child_says_what_the_function_says(verdict: str) -> None:
    matrix = replays.matrix(_SMALL)
    if verdict == "unusable":
        matrix = Matrix(matrix.cpus, tuple(tuple(None for _ in row) for row in matrix.cells))
    costs_s: list[float] = []
    found = asyncio.run(infer_in_child(matrix, costs_s.append))
    alone = infer(matrix)
    assert found is not None
    assert found.verdict == alone.verdict == verdict
    assert [level.groups for level in found.levels] == [level.groups for level in alone.levels]
    assert len(costs_s) == 1


def test_a_child_that_fails_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toposcope.inferring.sys.executable", "/bin/false")
    assert asyncio.run(infer_in_child(replays.matrix(_SMALL), lambda _: None)) is None


def test_a_machine_without_room_for_temporary_files_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/no-such-folder")
    assert asyncio.run(infer_in_child(replays.matrix(_SMALL), lambda _: None)) is None
