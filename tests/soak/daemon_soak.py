"""Hours of a real daemon under steady use: memory, descriptors, threads and store, sampled and judged.

    daemon_soak.py [--hours 2] [--log FILE.jsonl] [--sample-s 30]

A daemon with its default budget measures this machine while being scraped (every 5 s), asked for its page, its
matrix, its events and advice, told to reload its configuration (every 10 minutes), and sent some garbage. Each
sample goes to the log as one JSON line. Passes when the memory of its own (USS of `smaps_rollup`, see
proc_pid_smaps(5)) and the open descriptors of the last quarter are no more than those of the second quarter
(the first is warm-up) within the limits below, no request failed, and results were still coming at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "daemon"), str(TESTS)]

from integration.daemon_process import DaemonProcess  # noqa: E402

USS_GROWTH_LIMIT_RATIO = 0.05
"""Of the last quarter over the second; a leak of 100 bytes a request would already be more in two hours."""

DESCRIPTORS_GROWTH_LIMIT = 2
"""Connections that happen to be open at a sample."""

SCRAPE_PERIOD_S = 5.0
RELOAD_PERIOD_S = 600.0
READ_PATHS = (
    "/", "/api/v1/status", "/api/v1/topology", "/api/v1/results", "/api/v1/events", "/api/v1/claims",
    "/api/v1/recommend?workers=2&sharing=shared", "/nowhere",
)  # fmt: skip


def memory_bytes(pid: int) -> dict[str, int]:
    """Resident and own (private) bytes of a process, from /proc/PID/smaps_rollup."""
    kib: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        kib[name.rstrip(":")] = int(value)
    return {"rss_bytes": kib["Rss"] * 1024, "uss_bytes": (kib["Private_Clean"] + kib["Private_Dirty"]) * 1024}


def entries(folder: str) -> int:
    """How many entries a folder of /proc has."""
    return sum(1 for _ in Path(folder).iterdir())


def cpu_time_s(pid: int) -> float:
    """User and system time of a process and its ended children, from /proc/PID/stat (fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class Soak:
    """The daemon, what is sent to it, and the samples so far."""

    def __init__(self, daemon: DaemonProcess, folder: Path, log: Path | None) -> None:
        self._daemon = daemon
        self._folder = folder
        self._log = log
        self._begin_s = time.monotonic()
        self.samples: list[dict[str, Any]] = []
        self.scrape_times_s: list[float] = []
        self.failures: list[str] = []
        self.requests = 0
        self.reloads = 0

    def ask(self, path: str) -> None:
        """One request; anything but an answer of a known status is a failure."""
        self.requests += 1
        try:
            status, _ = self._daemon.get(path)
        except OSError as error:
            self.failures.append(f"{path}: {error!r}")
            return
        if status not in {200, 404, 409, 503}:
            self.failures.append(f"{path}: status {status}")

    def scrape(self) -> None:
        begin_s = time.perf_counter()
        self.ask("/metrics")
        self.scrape_times_s.append(time.perf_counter() - begin_s)

    def garbage(self) -> None:
        """A request that is none, broken off; the daemon may answer or hang up, both are right."""
        address = urllib.parse.urlsplit(self._daemon.url)
        with (
            contextlib.suppress(OSError),
            socket.create_connection((str(address.hostname), int(address.port or 0)), 5) as connection,
        ):
            connection.sendall(os.urandom(200) + b"\r\n\r\n")
            connection.recv(100)

    def reload(self) -> None:
        self.reloads += 1
        self._daemon.process.send_signal(signal.SIGHUP)

    def sample(self) -> None:
        pid = self._daemon.process.pid
        results = self._daemon.json("/api/v1/results")
        rows = results["results"] if isinstance(results, dict) else results
        sample = {
            "time_s": round(time.monotonic() - self._begin_s, 1),
            **memory_bytes(pid),
            "descriptors": entries(f"/proc/{pid}/fd"),
            "threads": entries(f"/proc/{pid}/task"),
            "cpu_time_s": cpu_time_s(pid),
            "store_bytes": sum(path.stat().st_size for path in (self._folder / "store").glob("**/*")),
            "results": len(rows),
            "visits": visits_total(self._daemon),
            "requests": self.requests,
            "failures": len(self.failures),
        }
        self.samples.append(sample)
        if self._log:
            with self._log.open("a") as log:
                log.write(json.dumps(sample) + "\n")


def visits_total(daemon: DaemonProcess) -> int:
    """Visits of probes so far, from the daemon's own counter."""
    _, body = daemon.get("/metrics")
    return int(
        sum(
            float(line.rpartition(" ")[2])
            for line in body.decode().splitlines()
            if line.startswith("toposcope_probe_visits_total{")
        )
    )


def endure(soak: Soak, length_s: float, sample_period_s: float) -> None:
    """Do everything at its period for `length_s`, saying how far it is once a minute."""
    paths = 0

    def read_next() -> None:
        nonlocal paths
        soak.ask(READ_PATHS[paths % len(READ_PATHS)])
        paths += 1

    jobs: list[tuple[float, Callable[[], None]]] = [
        (SCRAPE_PERIOD_S, soak.scrape),
        (SCRAPE_PERIOD_S * 2, read_next),
        (60.0, soak.garbage),
        (RELOAD_PERIOD_S, soak.reload),
        (sample_period_s, soak.sample),
    ]
    begin_s = time.monotonic()
    due_s = [begin_s + period_s for period_s, _ in jobs]
    soak.sample()
    while (now_s := time.monotonic()) < begin_s + length_s:
        for index, (period_s, job) in enumerate(jobs):
            if due_s[index] <= now_s:
                due_s[index] += period_s
                job()
        if sys.stderr.isatty():
            print(f"\r{(now_s - begin_s) / length_s:4.0%}", end="", file=sys.stderr)
        time.sleep(0.2)


def judged(soak: Soak) -> list[str]:
    """What is wrong; empty when the soak passed."""
    quarter = max(1, len(soak.samples) // 4)
    early, late = soak.samples[quarter : 2 * quarter], soak.samples[-quarter:]
    wrong = list(dict.fromkeys(soak.failures))[:20]

    def median_of(samples: list[dict[str, Any]], name: str) -> float:
        return float(statistics.median(sample[name] for sample in samples))

    before, after = median_of(early, "uss_bytes"), median_of(late, "uss_bytes")
    if after > before * (1 + USS_GROWTH_LIMIT_RATIO):
        wrong.append(f"own memory grew from {before / 2**20:.1f} to {after / 2**20:.1f} MiB")
    for name in ("descriptors", "threads"):
        before, after = median_of(early, name), median_of(late, name)
        if after > before + DESCRIPTORS_GROWTH_LIMIT:
            wrong.append(f"{name} grew from {before} to {after}")
    if late[-1]["visits"] <= early[0]["visits"]:
        wrong.append("no visit was made after the first quarter")
    return wrong


def summary(soak: Soak) -> str:
    """The figures that docs/reliability.md reports."""
    samples = soak.samples
    last = samples[-1]
    quarter = max(1, len(samples) // 4)
    lines = [
        f"{last['time_s'] / 3600:.2f} h, {soak.requests} requests, {len(soak.failures)} failed",
        f"{soak.reloads} reloads, {last['visits']} visits, {last['results']} results",
        f"CPU time {last['cpu_time_s']:.1f} s ({last['cpu_time_s'] / last['time_s']:.2%} of one CPU)",
        f"store {last['store_bytes'] / 2**20:.1f} MiB",
    ]
    for name, unit in (("uss_bytes", 2**20), ("rss_bytes", 2**20), ("descriptors", 1), ("threads", 1)):
        medians = [
            statistics.median(sample[name] for sample in samples[start : start + quarter]) / unit
            for start in range(0, quarter * 4, quarter)
            if samples[start : start + quarter]
        ]
        lines.append(f"{name} by quarter (median): " + ", ".join(f"{value:.1f}" for value in medians))
    scrapes = sorted(soak.scrape_times_s)
    if scrapes:
        p99_s = scrapes[int(len(scrapes) * 0.99)]
        lines.append(f"scrape: median {statistics.median(scrapes) * 1e3:.1f} ms, p99 {p99_s * 1e3:.1f} ms")
    return "\n".join(lines)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--sample-s", type=float, default=30.0)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="toposcope_soak.") as scratch:
        folder = Path(scratch)
        with DaemonProcess(folder) as daemon:
            soak = Soak(daemon, folder, options.log)
            endure(soak, options.hours * 3600, options.sample_s)
            soak.sample()
            daemon.stop()
    print(summary(soak))
    if wrong := judged(soak):
        sys.exit("FAILED: " + "; ".join(wrong))
    print("passed")


if __name__ == "__main__":
    main()
