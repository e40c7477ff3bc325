"""The page in a real browser: what people see, read, hover, ask and copy."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.browser import OpenPage, chromium
from page_server import (
    PAIR,
    PageServer,
    Sources,
    live_view,
    matrix_like,
    moving_visits,
    replay_view,
    two_cpus,
    two_sockets,
    visit,
)
from toposcope.judgements import Judgements
from toposcope.page.report import report_html
from toposcope.results import Identity, Target
from toposcope.topology.model import Machine
from toposcope.view import View

HOSTILE = "</title><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'&"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def replayed() -> Iterator[PageServer]:
    with PageServer(replay_view(two_sockets())) as server:
        yield server


def unstable_view() -> View:
    view = live_view()
    view.load(PAIR, "latency_ns", moving_visits(time.time() - 2400))
    assert view.placement == "unstable"
    return view


def assert_calm(page: OpenPage) -> None:
    assert page.complaints == []
    foreign = [url for url in page.requests if not url.startswith((page.url, "data:", "blob:"))]
    assert foreign == []


def canvas_point(page: OpenPage, row: int, column: int) -> tuple[float, float]:
    """The middle of a cell of the heat map, from its own layout, in pixels of the window."""
    return tuple(page.tab.evaluate(
        """([row, column]) => {
            const map = heatmap.map, box = map.canvas.getBoundingClientRect();
            const scale = box.width / map.canvas.width;
            return [box.left + (map.margin + map.x.edges[column - map.x.start] + map.x.cell / 2) * scale,
                    box.top + (map.margin + map.y.edges[row - map.y.start] + map.y.cell / 2) * scale];
        }""", [row, column]))  # fmt: skip


def test_loads_without_complaint_or_foreign_request(browser: Any, replayed: PageServer) -> None:
    with OpenPage(browser, replayed.url) as page:
        page.tab.wait_for_selector("#measured ol.levels")
        assert "Example 9000: 2 packages" in page.tab.inner_text("header")
        assert page.tab.locator("#topology svg.topo rect[data-cpu]").count() == 32
        assert "the same CPUs as the declared l3" in page.tab.inner_text("#measured")
        assert "Replay" in page.tab.inner_text("main")
        assert_calm(page)


def test_hover_reads_the_right_pair(browser: Any, replayed: PageServer) -> None:
    matrix = replayed.view.matrix()
    with OpenPage(browser, replayed.url) as page:
        order = page.tab.evaluate("heatmap.map.data.cpus")
        assert order[:4] == [0, 16, 1, 17]  # siblings side by side
        page.tab.locator("#hm-canvas").scroll_into_view_if_needed()
        for row, column, relation in (
            (0, 1, "smt"),
            (0, 2, "l3"),
            (9, 3, "package"),
            (30, 5, "cross package"),
        ):
            page.tab.mouse.move(*canvas_point(page, row, column))
            said = page.tab.inner_text("#hm-readout")
            first, second = order[row], order[column]
            value = re.search(r"([\d.]+) ns", said)
            assert said.startswith(f"CPU {first} → CPU {second}: ")
            assert said.endswith(relation)
            assert value is not None
            assert float(value.group(1)) == pytest.approx(matrix.value(first, second), rel=0.01)


def test_keyboard_reads_and_zooms(browser: Any, replayed: PageServer) -> None:
    with OpenPage(browser, replayed.url) as page:
        page.tab.focus("#hm-canvas")
        page.tab.keyboard.press("ArrowRight")
        page.tab.keyboard.press("ArrowRight")
        assert page.tab.inner_text("#hm-readout").startswith("CPU 0 → CPU 16: ")
        page.tab.keyboard.press("Enter")
        assert page.tab.evaluate("heatmap.map.zoom") == {"rows": [0, 16], "columns": [0, 16]}
        page.tab.keyboard.press("Enter")
        assert page.tab.evaluate("heatmap.map.zoom") == {"rows": [0, 8], "columns": [0, 8]}
        page.tab.keyboard.press("Escape")
        page.tab.keyboard.press("Escape")
        assert page.tab.evaluate("heatmap.map.zoom") == {"rows": [0, 32], "columns": [0, 32]}
        assert page.tab.is_disabled("#hm-out")


def test_zoom_by_list_and_click_on_two_domains(browser: Any, replayed: PageServer) -> None:
    with OpenPage(browser, replayed.url) as page:
        page.tab.select_option("#hm-zoom", label="package 1, CPUs 8-15,24-31")
        assert page.tab.evaluate("heatmap.map.zoom.rows") == [16, 32]
        page.tab.click("#hm-out")
        page.tab.locator("#hm-canvas").scroll_into_view_if_needed()
        page.tab.mouse.click(*canvas_point(page, 2, 20))
        assert page.tab.evaluate("heatmap.map.zoom") == {"rows": [0, 16], "columns": [16, 32]}
        page.tab.mouse.move(*canvas_point(page, 3, 21))
        order = page.tab.evaluate("heatmap.map.data.cpus")
        assert page.tab.inner_text("#hm-readout").startswith(f"CPU {order[3]} → CPU {order[21]}: ")


def test_form_gives_advice_and_copies_it(browser: Any, replayed: PageServer) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with OpenPage(browser, replayed.url, permissions=permissions) as page:
        page.tab.fill("#advice-form [name=workers]", "4")
        page.tab.check("#advice-form [name=exact]")
        page.tab.click("#advice-form button[type=submit]")
        page.tab.wait_for_selector("#advice-answer .advised-at")
        marked = page.tab.locator("#advice-answer rect.advised")
        assert marked.count() == 4
        command = page.tab.locator("#advice-answer .command").first
        text = command.locator("code").inner_text()
        assert text.startswith("taskset --cpu-list ")
        command.get_by_role("button", name="Copy the taskset command").click()
        page.wait_until("document.querySelector('.copy').textContent === 'Copied'")
        assert page.tab.evaluate("navigator.clipboard.readText()") == text
        assert_calm(page)


def test_refused_advice_says_why(browser: Any, replayed: PageServer) -> None:
    with OpenPage(browser, replayed.url) as page:
        page.tab.evaluate("document.querySelector('[name=workers]').removeAttribute('max')")
        page.tab.fill("#advice-form [name=workers]", "5000")
        page.tab.click("#advice-form button[type=submit]")
        page.tab.wait_for_selector("#advice-answer .problem")
        assert "No advice" in page.tab.inner_text("#advice-answer")


def test_live_update_arrives_and_keeps_what_is_open(browser: Any) -> None:
    view = live_view()
    with PageServer(view) as server, OpenPage(browser, server.url) as page:
        assert page.tab.is_hidden("#heatmap")
        assert "No latency between CPUs has been measured yet" in page.tab.inner_text("#hm-empty")
        assert "none yet" in page.tab.inner_text("#summary")
        view.add(PAIR, "latency_ns", visit(time.time(), 42.0))
        view.set_status(view.status | {"busy_cpus": [1]})
        server.sources.event_list.append({"id": 1, "time_s": time.time(), "kind": "config_reloaded"})
        page.tab.wait_for_selector("#summary .verdict.ok", timeout=15_000)
        page.tab.wait_for_selector("#heatmap:not([hidden])", timeout=15_000)
        assert "config reloaded" in page.tab.inner_text("#events")
        assert page.tab.get_attribute("#topology rect.busy", "data-cpu") == "1"
        assert_calm(page)


def test_levels_appear_when_they_are_inferred(browser: Any) -> None:
    view = replay_view(two_sockets())
    inferred = view.judgements
    view.set_judgements(Judgements())
    with PageServer(view) as server, OpenPage(browser, server.url) as page:
        page.wait_until("document.getElementById('measured').textContent.includes('Not enough pairs')")
        view.set_judgements(inferred)
        page.tab.wait_for_selector("#measured ol.levels", timeout=15_000)
        assert_calm(page)


def test_unreachable_daemon_is_said_and_forgotten(browser: Any) -> None:
    with PageServer(live_view()) as server, OpenPage(browser, server.url) as page:
        page.context.set_offline(True)
        page.tab.evaluate("void poll()")
        page.tab.wait_for_selector("#banner:not([hidden])", timeout=15_000)
        assert "does not answer since" in page.tab.inner_text("#banner")
        page.context.set_offline(False)
        page.tab.evaluate("void poll()")
        page.tab.wait_for_selector("#banner", state="hidden", timeout=15_000)


def test_a_changed_machine_reloads_the_page(browser: Any) -> None:
    view = live_view()
    with PageServer(view) as server, OpenPage(browser, server.url) as page:
        view.set_machine(two_cpus(online_cpus=(0, 1, 2), packages=((0, 1, 2),), cores=None), "other")
        page.tab.wait_for_timeout(2100)
        page.tab.evaluate("void poll()")
        page.tab.wait_for_selector("#topology rect[data-cpu='2']", timeout=15_000)


def test_unstable_placement_shows_its_modes(browser: Any) -> None:
    with PageServer(unstable_view()) as server, OpenPage(browser, server.url) as page:
        assert "unstable" in page.tab.inner_text("#summary")
        said = page.tab.text_content("#unstable svg") or ""
        assert "26.1 ns" in said
        assert "109 ns" in said
        assert page.tab.locator("#unstable circle").count() == 40
        assert_calm(page)


def test_history_is_plotted(browser: Any) -> None:
    view = unstable_view()
    sources = Sources(history=view.visits(PAIR.id))
    with PageServer(view, sources) as server, OpenPage(browser, server.url) as page:
        page.tab.select_option("#history-form [name=hours]", "1")
        page.wait_until("document.getElementById('history-picture').naturalWidth > 300")
        assert "cacheline_cas/cpus=0,1/model=thread" in page.tab.get_attribute("#history-picture", "alt")
        answer = page.tab.request.get(
            page.tab.evaluate("document.getElementById('history-json').href")
        ).json()
        assert len(answer["points"]) == 40
        assert {round(point["estimate"]) for point in answer["points"]} == {26, 109, 110}
        assert_calm(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [390, 1280])
def test_schemes_and_widths(browser: Any, replayed: PageServer, scheme: str, width_px: int) -> None:
    look = {"color_scheme": scheme, "viewport": {"width": width_px, "height": 800}}
    with OpenPage(browser, replayed.url, **look) as page:
        lightness = page.tab.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        )
        assert (max(lightness) < 64) == (scheme == "dark")
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width_px
        assert_calm(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("make", [unstable_view, live_view, lambda: replay_view(two_sockets())],
                         ids=["unstable", "empty", "replay"])  # fmt: skip
def test_axe_finds_nothing_serious(browser: Any, make: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    with PageServer(make()) as server, OpenPage(browser, server.url, color_scheme=scheme) as page:
        if server.view.mode == "replay":
            page.tab.click("#advice-form button[type=submit]")
            page.tab.wait_for_selector("#advice-answer .advised-at")
            page.tab.wait_for_selector("#measured ol.levels")
        found = axe.run(page.tab).response["violations"]
        serious = [
            (each["id"], [node["html"][:200] for node in each["nodes"][:3]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []


def hostile_report(directory: Path) -> Path:
    """A report of a machine whose names are markup, as `report --format html` writes it."""
    machine = dataclasses.replace(two_sockets(), settings=(("cpu_model", HOSTILE),), doubts=(HOSTILE,))
    claims = [{"claim": HOSTILE, "verdict": "confirmed", "ratio": 2.0, "interval": [1.5, 2.5], "numbers": {"threshold": 1.1},
               "sentence": HOSTILE, "reason": HOSTILE}]  # fmt: skip
    file = directory / "report.html"
    file.write_text(
        report_html(claims, source=HOSTILE, mode="replay", machine=machine, matrix=matrix_like(machine))
    )
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_as_a_file_and_is_accessible(browser: Any, tmp_path: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    url = hostile_report(tmp_path).as_uri()
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})
    try:
        tab = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(url)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.evaluate("window.hacked") is None
        assert tab.locator("script, img").count() == 0
        assert HOSTILE in tab.inner_text("main")
        found = axe.run(tab).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert (requests, complaints) == ([url], [])
    finally:
        context.close()


def test_hostile_names_inject_nothing(browser: Any) -> None:
    machine = two_cpus(
        settings=(("cpu_model", HOSTILE), ("hypervisor", HOSTILE)), doubts=(HOSTILE,), modes=()
    )
    view = live_view(machine)
    hostile = Identity("cacheline_cas", Target((0, 1), core_set=HOSTILE), {"model": HOSTILE}, HOSTILE)
    view.load(PAIR, "latency_ns", moving_visits(time.time() - 2400))
    view.load(hostile, "latency_ns", moving_visits(time.time() - 2400))
    view.set_status(view.status | {"measuring": HOSTILE})
    events = [{"id": 1, "time_s": time.time(), "kind": HOSTILE, HOSTILE: HOSTILE}]
    sources = Sources(events, view.visits(hostile.id))
    with PageServer(view, sources) as server, OpenPage(browser, server.url) as page:
        page.tab.select_option("#history-form [name=id]", hostile.id)
        page.wait_until("document.getElementById('history-picture').naturalWidth > 300")
        page.tab.evaluate("poll()")
        page.tab.wait_for_timeout(300)
        assert page.tab.evaluate("window.hacked") is None
        assert page.tab.locator("script:not([src])").count() == 0
        assert page.tab.locator("img[src=x]").count() == 0
        assert HOSTILE in page.tab.inner_text("#events")
        assert_calm(page)


def test_a_machine_of_one_cpu(browser: Any) -> None:
    machine = Machine(is_this_system=True, online_cpus=(0,), packages=((0,),), cores=((0,),))
    with PageServer(live_view(machine)) as server, OpenPage(browser, server.url) as page:
        assert "there is no pair to measure" in page.tab.inner_text("#hm-empty")
        assert_calm(page)


def test_384_cpus_are_ready_soon_and_small(browser: Any) -> None:
    view = replay_view(two_sockets(cores_per_l3=8, l3_per_socket=12))
    assert len(matrix_like(view.machine).cpus) == 384
    sizes: list[int] = []
    with PageServer(view) as server, OpenPage(browser, server.url) as page:
        page.tab.wait_for_selector("#measured ol.levels")
        sizes = page.tab.evaluate(
            "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
            ".map((entry) => entry.transferSize)"
        )
        assert sum(sizes) < 500_000
        assert page.tab.locator("#topology rect[data-cpu]").count() == 384
        # Elements, not cells: the heat map is one canvas.
        assert page.tab.evaluate("document.querySelectorAll('*').length") < 8000
        assert_calm(page)
