"""The page's answers without a browser: headers, caching, markup, refusals."""

from __future__ import annotations

import asyncio
import html.parser
import time
from typing import Any

import httpx
import pytest

from page_server import (
    PAIR,
    Sources,
    app_of,
    live_view,
    matrix_like,
    moving_visits,
    replay_view,
    two_cpus,
    two_sockets,
    visit,
)
from toposcope.page.sections import STATIC
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.view import View

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


class Client:
    """Asks an application without a socket."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.get(path, **options)

        return asyncio.run(ask())


def client_of(view: View, sources: Sources | None = None) -> Client:
    return Client(app_of(view, sources or Sources()))


@pytest.fixture(scope="module")
def replayed() -> Client:
    return client_of(replay_view(two_sockets()))


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def assert_nothing_inline(text: str) -> None:
    for tag, attributes in Tags(text).seen:
        assert tag != "style"
        assert tag != "script" or (attributes.get("src") or "").startswith("/page/")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]


def test_the_page_allows_nothing_inline_and_nothing_foreign(replayed: Client) -> None:
    answer = replayed.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["content-encoding"] == "gzip"
    assert_nothing_inline(answer.text)
    loaded = [attributes.get("src") or attributes.get("href") for tag, attributes in Tags(answer.text).seen
              if tag in ("script", "link", "img") and ("src" in attributes or "href" in attributes)]  # fmt: skip
    assert all(path and path.startswith("/page/") for path in loaded)
    for path in loaded:
        assert replayed.get(str(path)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/page/page.css", "/page/live", "/page/heatmap/cacheline_cas", "/page/measured"]
)
def test_what_is_known_already_is_not_sent_again(replayed: Client, path: str) -> None:
    first = replayed.get(path)
    assert first.status_code == 200
    again = replayed.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_the_heat_map_of_another_probe_has_its_own_unit() -> None:
    view = live_view()
    bandwidth = Identity("cacheline_bandwidth", Target((0, 1)), {"model": "thread"}, "package")
    rate = Estimate(2.3e9, 2e9, 2.3e9, 2.5e9, 2.2e9, 2.4e9, 0.0)
    view.load(
        bandwidth,
        "bandwidth_bytes_per_s",
        [Visit(1.8e9, 0.01, "ok", "", {"bandwidth_bytes_per_s": rate}, 100)],
    )
    view.load(PAIR, "latency_ns", [visit(1.8e9, 25.0)])
    client = client_of(view)
    rates, latencies = (
        client.get(f"/page/heatmap/{name}").json() for name in ("cacheline_bandwidth", "cacheline_cas")
    )
    assert (rates["unit"], rates["cells"]) == ("GB/s", [2.3])
    assert (latencies["unit"], latencies["cells"]) == ("ns", [25.0])
    assert latencies["measured_in"] == "ns one way"


@pytest.mark.parametrize(("hours", "count"), [(24, 1), (744, 2), (8784, 3)])
def test_the_history_reaches_as_far_back_as_asked(hours: int, count: int) -> None:
    view = live_view()
    now_s = time.time()
    view.load(PAIR, "latency_ns", [visit(now_s - 60, 25.0)])
    days = (200, 10, 0.1)  # the store hands over old days as one visit each
    sources = Sources(history=[visit(now_s - day * 86_400, 20.0 + day) for day in days])
    answer = client_of(view, sources).get(f"/api/v1/history/{PAIR.id}?hours={hours}")
    assert len(answer.json()["points"]) == count


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/page/nothing.css", 404),
        ("/page/%2e%2e%2fhandlers.py", 404),
        ("/page/heatmap/nothing", 404),
        ("/page/heatmap/spawn", 404),
        ("/page/history.svg", 404),
        ("/page/history.svg?id=nothing", 404),
        ("/api/v1/history/nothing", 404),
        (f"/api/v1/history/{PAIR.id}?hours=0", 400),
        (f"/api/v1/history/{PAIR.id}?hours=x", 400),
    ],
)
def test_refusals_have_the_form_of_the_api(path: str, status: int) -> None:
    view = live_view()
    view.load(PAIR, "latency_ns", moving_visits(0.0))
    answer = client_of(view).get(path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message", "hint"}


def test_history_has_the_hours_that_were_asked_for() -> None:
    view = live_view()
    view.load(PAIR, "latency_ns", moving_visits(time.time() - 2400))
    client = client_of(view, Sources(history=moving_visits(time.time() - 60 * 4000, 4000)))
    hour, week = (client.get(f"/api/v1/history/{PAIR.id}?hours={hours}").json() for hours in (1, 168))
    assert 55 <= len(hour["points"]) <= 61
    assert len(week["points"]) == 500
    assert hour["measure"] == "latency_ns"


def test_a_heat_map_is_made_anew_when_results_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toposcope.page.handlers._AGE_S", 0.0)
    monkeypatch.setattr("toposcope.page.handlers._AGE_PER_COST", 0.0)
    view = live_view()
    client = client_of(view)
    assert client.get("/page/heatmap/cacheline_cas").json()["edges"] == []
    view.load(PAIR, "latency_ns", moving_visits(0.0, 5))
    assert client.get("/page/heatmap/cacheline_cas").json()["cells"] == [pytest.approx(109, rel=0.02)]


def test_many_open_pages_cost_one_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    view = replay_view(two_sockets())
    calls = []
    monkeypatch.setattr("toposcope.page.handlers.heatmap_document",
                        lambda *both: calls.append(both) or {"edges": []})  # fmt: skip
    client = client_of(view)
    for _ in range(5):
        client.get("/page/heatmap/cacheline_cas")
        view.set_status(view.status)  # the view changes all the time
    assert len(calls) == 1


@pytest.mark.parametrize(
    "path", ["/", "/page/live", "/page/measured", "/page/history.svg", "/page/topology.svg"]
)
def test_hostile_names_stay_text(path: str) -> None:
    machine = two_cpus(settings=(("cpu_model", HOSTILE),), doubts=(HOSTILE,))
    view = live_view(machine)
    hostile = Identity("cacheline_cas", Target((0, 1), core_set=HOSTILE), {"model": HOSTILE}, HOSTILE)
    view.load(hostile, "latency_ns", moving_visits(time.time() - 2400))
    view.set_status(view.status | {"measuring": HOSTILE})
    events = [{"id": 1, "time_s": 0.0, "kind": HOSTILE, HOSTILE: [HOSTILE]}]
    answer = client_of(view, Sources(events, view.visits(hostile.id))).get(path, params={"id": hostile.id})
    assert answer.status_code == 200
    texts = [answer.text]
    if path == "/page/live":
        texts = list(answer.json()["sections"].values())
        assert any("&lt;script&gt;" in text for text in texts)
    for text in texts:
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        if not path.endswith(".svg"):
            assert_nothing_inline(text)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 512])
def test_any_number_of_cpus_has_a_page(count: int) -> None:
    machine: Any = two_cpus(
        online_cpus=tuple(range(count)), packages=(tuple(range(count)),), cores=None, numa_nodes=()
    )
    view = View(machine, "x", mode="replay", matrix=matrix_like(machine))
    client = client_of(view)
    assert client.get("/").text.count('data-cpu="') == count
    assert len(client.get("/page/heatmap/cacheline_cas").json()["cpus"]) == count
    assert client.get("/page/measured").status_code == 200


def test_static_files_hold_no_foreign_address() -> None:
    for path in STATIC.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, path.name
        assert "https:" not in text, path.name
