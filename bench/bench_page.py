"""How long the page and the pictures of large machines take, and how many bytes they are.

Run as `PYTHONPATH=tests python bench/bench_page.py`; the last line needs Chromium and Playwright.
The limits are those of issue "See it": a page of 384 CPUs ready in 1.5 s with 500 KB, a picture of 512 CPUs
in 2 s with 5 MB.
"""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

from page_server import PageServer, matrix_like, replay_view, two_sockets
from toposcope.page.heatmap import heatmap_document
from toposcope.page.sections import Sections
from toposcope.render.matrix_svg import matrix_svg
from toposcope.render.topology_svg import topology_svg

_T = TypeVar("_T")
_ROUNDS = 5
# From the start of the navigation, as the page itself marks it.
_READY_MS = "performance.getEntriesByName('ready')[0].startTime"
_TRANSFERRED_BYTES = (
    "['resource', 'navigation'].flatMap((kind) => performance.getEntriesByType(kind))"
    ".reduce((sum, entry) => sum + entry.transferSize, 0)"
)


def timed(work: Callable[[], _T]) -> tuple[float, _T]:
    """CPU seconds, which other work on the host doesn't change, and what was made."""
    began_s = time.process_time()
    made = work()
    return time.process_time() - began_s, made


def report(name: str, seconds: float, size: int) -> None:
    print(f"{name:<44}{seconds * 1000:>9.0f} ms{size / 1000:>10.0f} KB")


def pictures() -> None:
    machine = two_sockets(cores_per_l3=8, l3_per_socket=16)
    matrix = matrix_like(machine)
    seconds, drawn = timed(lambda: matrix_svg(matrix, machine, "compare-and-swap", "replay"))
    report(f"heat map SVG, {len(matrix.cpus)} CPUs", seconds, len(drawn))
    seconds, drawn = timed(lambda: topology_svg(machine))
    report(f"topology SVG, {len(matrix.cpus)} CPUs", seconds, len(drawn))
    seconds, document = timed(lambda: heatmap_document(matrix, machine))
    report(f"heat map for the page, {len(matrix.cpus)} CPUs", seconds, len(str(document)))


def page() -> None:
    view = replay_view(two_sockets(cores_per_l3=8, l3_per_socket=12))
    sections = Sections(view)
    for turn in ("first", "second"):
        seconds, html = timed(lambda: sections.page([]))
        size = len(gzip.compress(html.encode(), 6))
        report(f"page of 384 CPUs, {turn} time, gzipped", seconds, size)


def in_browser() -> None:
    from integration.browser import OpenPage, chromium

    ready: list[float] = []
    size = 0
    with chromium() as browser:
        for _ in range(_ROUNDS):
            view = replay_view(two_sockets(cores_per_l3=8, l3_per_socket=12))
            with PageServer(view) as server, OpenPage(browser, server.url) as opened:
                ready.append(opened.tab.evaluate(_READY_MS) / 1000)
                opened.tab.wait_for_selector("#measured ol.levels")
                size = opened.tab.evaluate(_TRANSFERRED_BYTES)
    report("page of 384 CPUs ready in Chromium, fresh daemon", statistics.median(ready), size)
    print(f"  all rounds: {' '.join(f'{seconds:.2f}' for seconds in ready)} s")


if __name__ == "__main__":
    pictures()
    page()
    in_browser()
