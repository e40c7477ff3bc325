"""What rendering the metrics costs, and how long it keeps the event loop: `python bench/bench_rendering.py`.

Views with a result of every probe, as the daemon has them after a day: the first rendering, and the one after
a visit, as OpenMetrics and gzipped. Beside it a tick every millisecond tells how long others had to wait.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "daemon"), str(ROOT / "probes")]

from generators import replays  # noqa: E402
from generators.views import estimate, full_view  # noqa: E402
from toposcope.metrics import Rendered  # noqa: E402
from toposcope.results import Visit  # noqa: E402
from toposcope.view import View  # noqa: E402

ROUNDS = 20
PAUSE_S = 0.3  # longer than the shortest time between two renderings
TICK_S = 0.001


async def watched(work: Awaitable[bytes]) -> tuple[float, float, bytes]:
    """(CPU ms, latest tick ms, what `work` made)."""
    task = asyncio.ensure_future(work)
    began_s, latest_ms = time.process_time(), 0.0
    while not task.done():
        tick_s = time.monotonic()
        await asyncio.sleep(TICK_S)
        latest_ms = max(latest_ms, (time.monotonic() - tick_s - TICK_S) * 1e3)
    return (time.process_time() - began_s) * 1e3, latest_ms, task.result()


def visit_next(view: View, number: int) -> None:
    result = view.results[number % len(view.results)]
    measures = {name: estimate(20.0 + number) for name in result.measures}
    visit = Visit(time.time(), 0.01, "ok", "", measures, 200)
    view.add(result.identity, result.primary, visit)
    view.count(result.identity.probe, visit, cpu_s=0.001, fault="")


async def measure(model: replays.Model) -> None:
    view = full_view(model)
    view.pool()  # as the daemon does when it has loaded its results
    rendered = Rendered(view)

    def render() -> Awaitable[bytes]:
        return rendered.get(as_openmetrics=True, gzipped=True)

    cpu_ms, latest_ms, _ = await watched(render())
    text = await rendered.get(as_openmetrics=True, gzipped=False)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    print(f"| {model.name}, {series:,} series | first | {cpu_ms:.0f} | {latest_ms:.1f} |")
    found = []
    for number in range(ROUNDS):
        await asyncio.sleep(PAUSE_S)
        visit_next(view, 37 * number)
        found.append(await watched(render()))
    costs, ticks = (sorted(each[index] for each in found) for index in (0, 1))
    print(f"| | after a visit, median | {statistics.median(costs):.1f} | {statistics.median(ticks):.1f} |")
    print(f"| | after a visit, worst of {ROUNDS} | {costs[-1]:.1f} | {ticks[-1]:.1f} |")


async def main() -> None:
    print("| view | rendering | CPU ms | latest tick ms |\n|---|---|---|---|")
    for model in (replays.TWO_SOCKETS, replays.BIG_384):
        await measure(model)


if __name__ == "__main__":
    asyncio.run(main())
