"""The HTTP API in process: every path answers, refusals have the one form, nothing gets past the guard."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from toposcope import http, openapi
from toposcope.clock import ManualClock
from toposcope.errors import UsageError
from toposcope.http_requests import Requests
from toposcope.matrix import Matrix
from toposcope.page.handlers import Page
from toposcope.results import Estimate, Identity, Result, Target, Visit
from toposcope.topology.model import Machine, Node
from toposcope.view import View

_MACHINE = Machine(
    is_this_system=False, online_cpus=(0, 1, 2, 3), packages=((0, 1), (2, 3)), cores=((0,), (1,), (2,), (3,)),
    numa_nodes=(Node(0, (0, 1), 1 << 30), Node(1, (2, 3), 1 << 30)),
)  # fmt: skip


class _Control:
    lifecycle_enabled = False

    def ready(self) -> str:
        return "no result yet"

    async def reload(self) -> None:
        raise UsageError("bad file", "mend it")

    async def events(self, limit: int) -> list[dict[str, Any]]:
        return [{"id": 1, "kind": "started"}][:limit]

    async def results_at(self, time_s: float) -> list[Result]:
        return [result for result in _view().results if result.last_time_s <= time_s]

    async def history(self, result_id: str) -> list[Visit]:
        return []

    async def measure(self, probe: str, cpus: tuple[int, ...] | None, visits: int) -> list[Result]:
        raise UsageError(f"there is no probe {probe!r}")

    def ask_for_report(self) -> dict[str, Any]:
        return {"state": "asked", "outside_budget": True}


def _view() -> View:
    view = View(_MACHINE, "0123456789abcdef")
    for pair, value in {(0, 1): 25.0, (0, 2): 110.0, (2, 3): 26.0}.items():
        estimate = Estimate(value, value, value, value, value, value, 0.0)
        identity = Identity("cacheline_cas", Target(pair), {"model": "thread"}, _MACHINE.relation(*pair))
        view.add(identity, "latency_ns", Visit(1.0, 0.003, "ok", "", {"latency_ns": estimate}))
    return view


def _app(view: View | None = None, *, lifecycle: bool = False) -> Starlette:
    control = _Control()
    control.lifecycle_enabled = lifecycle
    view = view or _view()
    routes = [*Requests(view, control, ManualClock()).routes(), *Page(view, control).routes()]
    return http.make_app(view, control, ["localhost", "::1"], routes)


def _ask(method: str, path: str, app: Starlette | None = None, **more: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app or _app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:9847") as client:
            return await client.request(method, path, **more)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "path", [path for path, kinds in openapi.document()["paths"].items() if "get" in kinds]
)
def test_every_path_of_the_document_answers(path: str) -> None:
    concrete = path.replace("{id}", "cacheline_cas/cpus=0,1/model=thread").replace("{probe}", "cacheline_cas")
    if path == "/api/v1/recommend":
        concrete += "?workers=2"
    answer = _ask("GET", concrete)
    assert answer.status_code == (503 if path == "/-/ready" else 200), answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "date" in answer.headers


def test_every_get_route_is_in_the_document() -> None:
    served = {re.sub(r":path", "", route.path).replace("{result_id}", "{id}") for route in _app().routes}  # type: ignore[attr-defined]
    of_the_page = {path for path in served if path == "/" or path.startswith("/page/")}
    assert served - of_the_page - {"/openapi.json"} == set(openapi.document()["paths"])


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "not_found"),
        ("DELETE", "/metrics", {}, 405, "method_not_allowed"),
        ("GET", "/api/v1/results/none", {}, 404, "not_found"),
        ("GET", "/api/v1/matrix/memory_latency", {}, 404, "not_found"),
        ("GET", "/api/v1/events?limit=-1", {}, 400, "usage"),
        ("GET", "/api/v1/events?limit=" + "9" * 5000, {}, 400, "usage"),
        ("GET", "/api/v1/recommend", {}, 400, "usage"),
        ("GET", "/api/v1/recommend?workers=2&cpus=x", {}, 400, "usage"),
        ("GET", "/api/v1/recommend?workers=2&colour=red", {}, 400, "usage"),
        ("GET", "/api/v1/recommend?workers=9", {}, 409, "contradiction"),
        ("POST", "/api/v1/recommend", {"content": b"{"}, 400, "usage"),
        ("POST", "/api/v1/recommend", {"json": {"workers": -1}}, 400, "usage"),
        ("POST", "/api/v1/recommend", {"content": b"x" * (2 << 20)}, 413, "too_large"),
        ("POST", "/api/v1/measure", {"json": {"probe": "cacheline_cas"}}, 403, "lifecycle_disabled"),
        ("POST", "/api/v1/report", {}, 403, "lifecycle_disabled"),
        ("POST", "/-/reload", {}, 403, "lifecycle_disabled"),
        ("GET", "/metrics", {"headers": {"Host": "evil.example"}}, 421, "host_refused"),
        ("GET", "/metrics", {"headers": {"Host": ""}}, 421, "host_refused"),
        ("GET", "/metrics", {"headers": {"Content-Length": "-5"}}, 413, "too_large"),
    ],
)
def test_refusals_have_one_form(method: str, path: str, more: dict[str, Any], status: int, code: str) -> None:
    answer = _ask(method, path, **more)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert set(error) == {"code", "message", "hint"}


def test_lifecycle_requests_reach_the_service_where_they_are_allowed() -> None:
    app = _app(lifecycle=True)
    assert _ask("POST", "/-/reload", app).json()["error"]["message"] == "bad file"
    asked = _ask("POST", "/api/v1/report", app)
    assert (asked.status_code, asked.json()["report"]["state"]) == (202, "asked")
    measured = _ask("POST", "/api/v1/measure", app, json={"probe": "nothing"})
    assert measured.json()["error"]["message"] == "there is no probe 'nothing'"


def test_results_can_be_chosen_by_relation_and_carry_the_mode() -> None:
    document = _ask("GET", "/api/v1/results?relation=cross_package").json()
    assert (document["mode"], document["schema_version"]) == ("live", 1)
    assert [result["target"]["cpus"] for result in document["results"]] == [[0, 2]]
    assert document["results"][0]["latency_ns_estimate"] == 110.0


def test_results_of_a_cpu_that_is_gone_are_kept_and_marked() -> None:
    view = _view()
    smaller = Machine(is_this_system=False, online_cpus=(0, 1, 2), packages=((0, 1), (2,)))
    view.set_machine(smaller, "fedcba9876543210")
    results = {
        tuple(r["target"]["cpus"]): r for r in _ask("GET", "/api/v1/results", _app(view)).json()["results"]
    }
    assert results[2, 3]["stale_reason"] == "CPU 3 is offline"
    assert "stale_reason" not in results[0, 1]


def test_the_matrix_is_symmetric_with_empty_cells_where_nothing_was_measured() -> None:
    text = _ask("GET", "/api/v1/matrix/cacheline_cas?format=csv").text
    assert text.splitlines() == [
        "cpu,0,1,2,3",
        "0,,25.00,110.00,",
        "1,25.00,,,",
        "2,110.00,,,26.00",
        "3,,,26.00,",
    ]


def test_answers_are_compressed_for_those_who_take_it() -> None:
    plain = _ask("GET", "/metrics", headers={"Accept-Encoding": "identity"})
    zipped = _ask("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    assert plain.content == zipped.content
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    refused = _ask("GET", "/metrics", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    assert gzip.decompress(gzip.compress(plain.content)) == plain.content


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:9847", "localhost"),
        ("[::1]:9847", "::1"),
        ("[::1]", "::1"),
        ("LOCALHOST", "localhost"),
        ("", ""),
    ],
)
def test_host_headers_are_read_without_port_and_brackets(header: str, name: str) -> None:
    assert http.host_name(header) == name


def test_a_replay_says_so_in_every_document() -> None:
    matrix = Matrix(
        (0, 1, 2, 3), tuple(tuple(None if i == j else 10.0 + i + j for j in range(4)) for i in range(4))
    )
    view = View(_MACHINE, "0123456789abcdef", mode="replay", matrix=matrix)
    for path in (
        "topology",
        "results",
        "matrix/cacheline_cas",
        "status",
        "events",
        "report",
        "recommend?workers=2",
    ):
        assert _ask("GET", "/api/v1/" + path, _app(view)).json()["mode"] == "replay", path
    assert "toposcope_replay 1.0" in _ask("GET", "/metrics", _app(view)).text


def test_the_openapi_document_is_valid() -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(openapi.document())
