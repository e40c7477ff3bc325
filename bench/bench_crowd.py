"""What fifty scrapers do to a daemon's measuring: `python bench/bench_crowd.py [--rounds 4]`.

A live daemon measures at a fifth of a CPU. In turns nobody asks, and fifty clients scrape once a second each,
which is far more than any Prometheus does. Compared are the visits made in a phase, what a visit took from
exec to reap, and the share of batches that were dropped: all from the daemon's own counters.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "probes")]

import toposcope_probes  # noqa: E402
from integration.daemon_process import DaemonProcess  # noqa: E402

CLIENTS = 50
PERIOD_S = 1.0
BUDGET_RATIO = 0.2
WARM_UP_S = 10.0
PROBES = ("cacheline_cas", "cacheline_handover")
"""Short ones of equal length, so that phases can be compared; all others are off."""

COUNTERS = (
    "toposcope_probe_visits",
    "toposcope_probe_duration_seconds",
    "toposcope_probe_batches_kept",
    "toposcope_probe_batches_dropped",
)


@dataclass(frozen=True)
class Phase:
    """What the daemon did in one phase, and how long scrapes took (ms, sorted)."""

    visits: float
    visit_ms: float
    dropped_ratio: float
    scrapes_ms: list[float]


def scrape(url: str) -> str:
    with urllib.request.urlopen(url + "/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def counters(url: str) -> dict[str, float]:
    families = {family.name: family for family in text_string_to_metric_families(scrape(url))}
    return {
        name: sum(sample.value for sample in families[name].samples if sample.name.endswith("_total"))
        for name in COUNTERS
    }


def client(url: str, offset_s: float, end_s: float, times_ms: list[float]) -> None:
    """Scrape once a period until `end_s` (monotonic), at this client's own offset."""
    time.sleep(offset_s)
    while (begin_s := time.monotonic()) < end_s:
        scrape(url)
        times_ms.append((time.monotonic() - begin_s) * 1e3)
        time.sleep(max(0.0, begin_s + PERIOD_S - time.monotonic()))


def phase(url: str, length_s: float, clients: int) -> Phase:
    before, times_ms = counters(url), list[float]()
    end_s = time.monotonic() + length_s
    threads = [
        threading.Thread(target=client, args=(url, index * PERIOD_S / CLIENTS, end_s, times_ms))
        for index in range(clients)
    ]
    for thread in threads:
        thread.start()
    time.sleep(max(0.0, end_s - time.monotonic()))
    for thread in threads:
        thread.join()
    after = counters(url)
    visits, duration_s, kept, dropped = (after[name] - before[name] for name in COUNTERS)
    return Phase(
        visits, duration_s / max(1.0, visits) * 1e3, dropped / max(1.0, kept + dropped), sorted(times_ms)
    )


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--phase-s", type=float, default=20.0)
    options = parser.parse_args()
    alone, crowded = list[Phase](), list[Phase]()
    probes: dict[str, Any] = {"budget_ratio": BUDGET_RATIO}
    for spec in toposcope_probes.load_all():
        if not spec.on_request_only:
            probes[spec.name] = {"interval_s": 1} if spec.name in PROBES else {"enabled": False}
    with (
        tempfile.TemporaryDirectory(prefix="toposcope_crowd.") as folder,
        DaemonProcess(Path(folder), {"probes": probes}) as daemon,
    ):
        time.sleep(WARM_UP_S)
        for _ in range(options.rounds):
            alone.append(phase(daemon.url, options.phase_s, 0))
            crowded.append(phase(daemon.url, options.phase_s, CLIENTS))
    print("| | visits a phase | visit, ms | batches dropped |\n|---|---|---|---|")
    for label, phases in (("nobody asks", alone), (f"{CLIENTS} scrapers", crowded)):
        visits = statistics.median(each.visits for each in phases)
        visit_ms = statistics.median(each.visit_ms for each in phases)
        dropped = statistics.median(each.dropped_ratio for each in phases)
        print(f"| {label} | {visits:.0f} | {visit_ms:.2f} | {dropped:.2%} |")
    times_ms = sorted(time_ms for each in crowded for time_ms in each.scrapes_ms)
    p99_ms = times_ms[int(len(times_ms) * 0.99)]
    print(f"\n{len(times_ms)} scrapes: median {statistics.median(times_ms):.1f} ms, p99 {p99_ms:.1f} ms")


if __name__ == "__main__":
    main()
