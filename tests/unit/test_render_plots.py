"""Bars, plots over time and the report as a file."""

from __future__ import annotations

import html.parser
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from page_server import PAIR, live_view, matrix_like, moving_visits, two_sockets, visit
from toposcope.page import content
from toposcope.page.history import POINTS_MAX, mode_lines, points_of
from toposcope.page.measured import measured_topology
from toposcope.page.report import report_html, report_svg
from toposcope.render.bars_svg import Axis, Bar, bars_svg
from toposcope.render.history_svg import Line, Point, history_svg
from toposcope.results import Identity, Target, Visit
from toposcope.topology.infer import infer
from toposcope.view import View

HOSTILE = "</style><script>alert(1)</script>\"'&"


def claim(name: str = "thread_create_cheaper", **changes: Any) -> dict[str, Any]:
    fields = {
        "claim": name, "verdict": "confirmed", "ratio": 8.0, "interval": [7.5, 8.5],
        "sentence": "Threads.", "numbers": {"threshold": 1.1}, "reason": "",
    }  # fmt: skip
    return fields | changes


UNTESTED = claim("gil_threads_not_parallel", verdict="not_applicable", ratio=None, interval=None, numbers={})


@given(st.lists(st.floats(-10, 1e9), max_size=20), st.floats(-1e9, 1e9))
def test_axis_holds_any_ratio(ratios: list[float], other: float) -> None:
    axis = Axis([Bar("x", "confirmed", ratio) for ratio in ratios], 100)
    assert 0 <= axis.x(other) <= 100
    assert 0 < axis.x(1) < 100
    assert axis.x(0.999) <= axis.x(1) <= axis.x(1.001)


def test_bars_say_their_numbers() -> None:
    drawn = bars_svg([Bar("a<b", "refuted", 0.5, 0.4, 0.6, 1.1), Bar("c", "not_applicable")], "Claims")
    words = "".join(ET.fromstring(drawn).itertext())
    assert "a<b" in words
    assert "0.5 (0.4 to 0.6), refuted" in words
    assert "not applicable" in words


@given(st.lists(st.tuples(st.floats(0, 2e9), st.floats(0, 1e12)), max_size=30))
def test_any_points_can_be_plotted(pairs: list[tuple[float, float]]) -> None:
    points = [Point(time_s, value, value * 0.9, value * 1.1) for time_s, value in sorted(pairs)]
    root = ET.fromstring(history_svg(points, HOSTILE, "latency_ns", [Line(20.0, HOSTILE)]))
    circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == len(points)
    for circle in circles:
        assert 0 <= float(circle.get("cx", "-1")) <= 800
        assert 0 <= float(circle.get("cy", "-1")) <= 300


def test_history_is_thinned_without_losing_peaks() -> None:
    visits = moving_visits(0.0, 3 * POINTS_MAX)
    points = points_of(visits, "latency_ns")
    assert len(points) == POINTS_MAX
    assert max(point.high for point in points) == max(v.measures["latency_ns"].high for v in visits)
    assert points_of(visits, "other_ns") == []
    assert len(points_of(visits, "latency_ns", visits[-10].time_s)) == 10


def test_history_orders_by_time_where_the_clock_stepped_back() -> None:
    visits: list[Visit] = [*moving_visits(1000.0, 3), *moving_visits(0.0, 3)]
    times = [point.time_s for point in points_of(visits, "latency_ns")]
    assert times == sorted(times)


def test_modes_become_lines() -> None:
    view = live_view()
    view.load(PAIR, "latency_ns", moving_visits(0.0))
    lines = mode_lines(view.results[0])
    assert [round(line.value) for line in lines] == [26, 110]
    assert all(re.fullmatch(r"[\d.]+ ns \(50%\)", line.label) for line in lines)


def test_measured_levels_name_the_declared_ones() -> None:
    machine = two_sockets()
    measured = measured_topology(infer(matrix_like(machine)), machine)
    assert measured.verdict == "structured"
    assert [level.partition(": ")[2] for level in measured.levels] == [
        "the same CPUs as the declared smt",
        "the same CPUs as the declared l3",
        "the same CPUs as the declared node and package",
    ]
    assert [box.cpus for box in measured.boxes] == ["0-7,16-23", "8-15,24-31"]


def test_claim_rows_have_a_bar_where_there_is_a_ratio() -> None:
    rows = content.claim_rows([claim(), UNTESTED])
    assert rows[0].numbers == "8 (7.5 to 8.5)"
    assert rows[0].bar.startswith("<svg")
    assert rows[1].bar == ""


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)


def test_report_is_one_file_that_loads_and_runs_nothing() -> None:
    machine = two_sockets()
    made = report_html([claim(sentence=HOSTILE), UNTESTED], source=HOSTILE, mode="replay",
                       machine=machine, matrix=matrix_like(machine), made_s=0.0)  # fmt: skip
    seen = _Tags()
    seen.feed(made)
    assert "script" not in seen.tags
    assert seen.links == []
    assert seen.tags.count("svg") >= 3
    assert "1970-01-01 00:00:00 UTC" in made


def test_report_without_a_tested_claim_says_how_to_test() -> None:
    made = report_html([UNTESTED], source="store", mode="live")
    assert "None of the 1 claims" in made


@pytest.mark.parametrize("claims", [[], [UNTESTED], [claim(), UNTESTED]])
def test_report_as_a_picture(claims: list[dict[str, Any]]) -> None:
    words = "".join(ET.fromstring(report_svg(claims, source="store", mode="live")).itertext())
    assert all(each["claim"].replace("_", " ") in words for each in claims)


def test_bytes_have_round_ticks_in_their_own_units() -> None:
    points = [Point(60.0 * index, 3.3e9, 3.2e9, 3.4e9) for index in range(5)]
    words = list(ET.fromstring(history_svg(points, "x", "bandwidth_bytes_per_s")).itertext())
    assert {"0 B/s", "1 GiB/s", "2 GiB/s", "3 GiB/s"} <= set(words)


def test_memory_is_shown_by_node_of_cpu_and_memory() -> None:
    view = View(two_sockets(), "x")
    for cpu in (0, 8):
        for node in (0, 1):
            identity = Identity("memory_latency", Target((cpu,), node=node), {"pages": "huge"})
            value = 90.0 if (cpu == 8) == (node == 1) else 140.0
            view.add(identity, "latency_ns", visit(0.0, value))
    (table,) = content.node_tables(view.groups())
    assert table.caption == "memory latency pages huge, latency"
    assert list(table.nodes) == [0, 1]
    texts = [[cell.text for cell in cells if cell] for _, cells in table.rows]
    assert texts == [["90 ns", "140 ns"], ["140 ns", "90 ns"]]
    assert table.rows[0][1][0].fill != table.rows[0][1][1].fill
