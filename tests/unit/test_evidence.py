"""What advice rests on: the same from a view and from a daemon's documents, and only what is sound."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advise_machines import two_sockets
from toposcope import http, replay
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.cli import _evidence
from toposcope.clock import ManualClock
from toposcope.evidence import evidence_of
from toposcope.http_requests import Requests
from toposcope.matrix import matrix_of_pairs
from toposcope.results import Estimate, Identity, Result, Target
from toposcope.topology.hostload import parse_node_meminfo, read_free_memory_bytes
from toposcope.topology.sysfs import Root
from toposcope.view import View
from unit.test_http import _Control

MACHINE = two_sockets()


def _result(
    probe: str, target: Target, variant: dict[str, str], measure: str, value: float, **more: Any
) -> Result:
    estimate = Estimate(value, value, value, value, 0.98 * value, 1.02 * value, 0.0)
    relation = MACHINE.relation(*target.cpus) if probe == "cacheline_cas" else None
    given: dict[str, Any] = {"verdict": "ok", "reason": "", "last_time_s": 50.0} | more
    return Result(Identity(probe, target, variant, relation), measure, measures={measure: estimate}, **given)


def _view() -> View:
    view = View(MACHINE, "0123456789abcdef")
    view.set_status({"busy_cpus": [3]})
    for pair, ns in {(0, 2): 25.0, (0, 4): 90.0, (0, 8): 180.0}.items():
        view.take(_result("cacheline_cas", Target(pair), {"model": "thread"}, "latency_ns", ns))
    for node, ns in ((0, 90.0), (1, 140.0)):
        view.take(_result("memory_latency", Target((0,), node=node), {"pages": "base"}, "latency_ns", ns))
    for operation, rate in (("read", 4e10), ("triad", 9e10)):
        target = Target((0, 2, 4, 6), node=0, core_set="compact:4")
        view.take(
            _result("memory_bandwidth", target, {"operation": operation}, "bandwidth_bytes_per_s", rate)
        )
    server = Target((0, 2), interpreter="python3")
    view.take(_result("python_affinity", server, {"model": "thread"}, "one_cpu_gain_ratio", 1.9))
    return view


class _Daemon:
    """A daemon's documents without a socket between."""

    url = "http://localhost:9847"

    def __init__(self, view: View) -> None:
        control = _Control()
        self._app = http.make_app(
            view, control, ["localhost"], Requests(view, control, ManualClock()).routes()
        )

    def get_bytes(self, path: str, **query: str) -> bytes:
        async def ask() -> bytes:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url=self.url) as client:
                return (await client.get(path, params=query)).content

        return asyncio.run(ask())

    def get(self, path: str, **query: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.get_bytes(path, **query))
        return document


def test_a_daemons_documents_hold_all_that_its_view_does() -> None:
    view = _view()
    there = _evidence._of_daemon(_Daemon(view))  # type: ignore[arg-type]
    inside = evidence_of(view, 100.0, "daemon")
    assert there.node_costs == inside.node_costs
    (server,) = inside.one_cpu_gains
    assert (server.model, server.interpreter, server.ratio, server.age_s) == ("threads", "python3", 1.9, 50.0)
    assert [(one.model, one.ratio, one.low, one.high) for one in there.one_cpu_gains] == [
        ("threads", 1.9, server.low, server.high)
    ]
    assert there.matrix_error_ratio == pytest.approx(inside.matrix_error_ratio)
    assert there.matrix is not None
    assert there.matrix.value(0, 4) == 90.0
    assert there.load is not None
    assert there.load.busy_cpus == (3,)
    assert [claim.claim for claim in there.claims] == [claim.claim for claim in inside.claims]
    assert there.age_s is not None
    assert there.age_s > 0


def test_only_reading_counts_as_bandwidth_and_an_interval_is_an_error() -> None:
    found = evidence_of(_view(), 100.0, "daemon")
    assert found.node_costs is not None
    assert found.node_costs.bandwidth_bytes_per_s == {(0, 0): 4e10}
    assert found.node_costs.latency_ns == {(0, 0): 90.0, (0, 1): 140.0}
    assert found.matrix_error_ratio == pytest.approx(0.02 / 1.96)
    assert found.age_s == 50.0


def test_what_failed_is_no_evidence() -> None:
    view = View(MACHINE, "0123456789abcdef")
    target = Target((0,), node=0)
    view.take(_result("memory_latency", target, {"pages": "base"}, "latency_ns", 90.0, verdict="failed"))
    found = evidence_of(view, 100.0, "store")
    assert (found.node_costs, found.matrix, found.matrix_error_ratio, found.load) == (None, None, None, None)


def test_free_memory_alone_says_nothing_of_busy_cpus() -> None:
    found = evidence_of(View(MACHINE, "0123456789abcdef"), 1.0, "store", {0: 1 << 30, 1: 16 << 30})
    answer = recommend(Request(4, sharing="isolated", bound="memory", memory_bytes_per_worker=1 << 30), found)
    assert sum(cpu < 8 for cpu in answer.placements[0].cpus) == 1
    assert "what else runs on the machine now" in answer.not_considered


def test_a_matrix_alone_gives_cores_but_no_packages_wherever_it_is_replayed() -> None:
    pairs = {(a, b): 8.0 if a // 2 == b // 2 else 60.0 for a in range(8) for b in range(8) if a != b}
    matrix = matrix_of_pairs(range(8), pairs)
    view = View(replay.machine_of(matrix), "0123456789abcdef", mode="replay", matrix=matrix)
    found = evidence_of(view, 1.0, "replay")
    assert not found.machine_is_declared
    assert found.machine.cores == ((0, 1), (2, 3), (4, 5), (6, 7))
    assert found.machine.packages is None


def test_this_hosts_nodes_say_what_they_have_left() -> None:
    assert all(size > 0 for size in read_free_memory_bytes(Root("/"), [0]).values())


def test_node_meminfo() -> None:
    text = "Node 0 MemTotal: 100 kB\nNode 0 MemFree:  40 kB\nNode 0 Inactive(file): 2 kB\n"
    assert parse_node_meminfo(text) == 42 << 10
    assert parse_node_meminfo("Node 0 MemTotal: 100 kB") is None


@given(st.text(max_size=200))
def test_any_meminfo_is_a_size_or_none(text: str) -> None:
    found = parse_node_meminfo(text)
    assert found is None or found >= 0
