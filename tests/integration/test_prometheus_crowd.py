"""Many scrapers at once: a live daemon answers all of them, feeds its watchdog and keeps measuring."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from integration.prometheus_server import answers, daemon, wait_until

CLIENTS = 50
SCRAPES = 400
# Far below what the unit asks for (tens of seconds); systemd would end a daemon that is silent for longer.
WATCHDOG_S = 2.0


def scrape(url: str) -> tuple[float, str]:
    begin_s = time.monotonic()
    with urllib.request.urlopen(url, timeout=30) as answer:
        return time.monotonic() - begin_s, answer.read().decode()


def visits(text: str) -> float:
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return sum(sample.value for sample in families["toposcope_probe_visits"].samples)


@contextlib.contextmanager
def watchdog(directory: Path) -> Iterator[tuple[dict[str, str], list[float]]]:
    """In the place of systemd: the daemon's environment, and the times at which it said that it lives."""
    heard: list[float] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        path = directory / "notify"
        notified.bind(str(path))
        notified.settimeout(0.1)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    if b"WATCHDOG=1" in notified.recv(4096):
                        heard.append(time.monotonic())

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}, heard
        finally:
            done.set()
            listener.join()


def test_fifty_scrapers_stop_neither_probes_nor_watchdog_nor_answers(tmp_path):
    config = {"probes": {"budget_ratio": 1.0}}
    with (
        watchdog(tmp_path) as (environment, heard),
        daemon(tmp_path, "crowded", config=config, environment=environment) as address,
    ):
        url = f"http://{address}/metrics"
        before = wait_until(lambda: visits(scrape(url)[1]), 30, "first visit")
        begin_s = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
            found = list(clients.map(scrape, [url] * SCRAPES))
        wait_until(lambda: heard and heard[-1] > begin_s, 10, "word to the watchdog")
        end_s = time.monotonic()
        assert all(text.startswith("# HELP toposcope_build_info") for _, text in found)
        assert max(duration_s for duration_s, _ in found) < 10
        wait_until(lambda: visits(scrape(url)[1]) > before, 60, "visit after the crowd")
        assert answers(f"http://{address}/-/healthy")
    during = [begin_s, *(time_s for time_s in heard if begin_s <= time_s <= end_s), end_s]
    assert max(later - earlier for earlier, later in itertools.pairwise(during)) < WATCHDOG_S
