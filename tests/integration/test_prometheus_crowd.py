"""Many scrapers at once: a live daemon answers all of them and keeps measuring."""

from __future__ import annotations

import concurrent.futures
import time
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from integration.prometheus_server import answers, daemon, wait_until

CLIENTS = 50
SCRAPES = 400


def scrape(url: str) -> tuple[float, str]:
    begin_s = time.monotonic()
    with urllib.request.urlopen(url, timeout=30) as answer:
        return time.monotonic() - begin_s, answer.read().decode()


def visits(text: str) -> float:
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return sum(sample.value for sample in families["toposcope_probe_visits"].samples)


def test_fifty_scrapers_stop_neither_probes_nor_answers(tmp_path):
    with daemon(tmp_path, "crowded", config={"probes": {"budget_ratio": 1.0}}) as address:
        url = f"http://{address}/metrics"
        before = wait_until(lambda: visits(scrape(url)[1]), 30, "first visit")
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
            found = list(clients.map(scrape, [url] * SCRAPES))
        assert all(text.startswith("# HELP toposcope_build_info") for _, text in found)
        # systemd's watchdog takes tens of seconds; nobody may wait for anything near that.
        assert max(duration_s for duration_s, _ in found) < 10
        wait_until(lambda: visits(scrape(url)[1]) > before, 60, "visit after the crowd")
        assert answers(f"http://{address}/-/healthy")
