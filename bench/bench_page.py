"""How long the page and the pictures of large machines take, and how many bytes they are.

Run as `python bench/bench_page.py`; needs Chromium and Playwright. Commands and the daemon are started as a
user would start them, on generated machines. The limits are those of issue "See it": a page of 384
CPUs ready in 1.5 s with 500 KB, heat map and picture of 512 CPUs by command in 2 s with 5 MB.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "daemon"), str(ROOT / "probes")]

import msgspec  # noqa: E402

from integration.browser import OpenPage, chromium  # noqa: E402
from integration.prometheus_server import answers, free_port, process, wait_until  # noqa: E402
from page_server import matrix_like, two_sockets  # noqa: E402
from toposcope.matrix import format_csv  # noqa: E402
from toposcope.topology.document import to_document  # noqa: E402

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
# From the start of the navigation, as the page itself marks it.
READY_MS = "performance.getEntriesByName('ready')[0].startTime"
TRANSFERRED_BYTES = (
    "['resource', 'navigation'].flatMap((kind) => performance.getEntriesByType(kind))"
    ".reduce((sum, entry) => sum + entry.transferSize, 0)"
)


def replay_options(directory: Path, l3_per_socket: int) -> list[str]:
    """A machine of two packages with L3 domains of eight cores, and its matrix, as files."""
    machine = two_sockets(cores_per_l3=8, l3_per_socket=l3_per_socket)
    topology, matrix = directory / "topology.json", directory / "matrix.csv"
    topology.write_bytes(msgspec.json.encode(to_document(machine)))
    matrix.write_text(format_csv(matrix_like(machine)))
    return ["--topology", str(topology), "--matrix", str(matrix)]


def report(name: str, durations_s: list[float], size_bytes: int) -> None:
    times = f"{statistics.median(durations_s):.2f} | {max(durations_s):.2f}"
    print(f"| {name} | {times} | {size_bytes / 1e3:,.0f} |")


def commands(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        options = replay_options(Path(directory), l3_per_socket=16)
        for name, arguments in {
            "`matrix --format svg`, 512 CPUs": ["matrix", "--format", "svg", *options],
            "`matrix`, 512 CPUs": ["matrix", *options],
            "`topology --format svg`, 512 CPUs": ["topology", "--format", "svg", *options[:2]],
            "`report --format html`, 512 CPUs": ["report", "--format", "html", *options],
        }.items():
            durations_s, size = [], 0
            for _ in range(rounds):
                began_s = time.perf_counter()
                made = subprocess.run([sys.executable, "-m", "toposcope", *arguments], env=ENVIRONMENT,
                                      check=True, capture_output=True).stdout  # fmt: skip
                durations_s.append(time.perf_counter() - began_s)
                size = len(made)
            report(name, durations_s, size)


def page(rounds: int) -> None:
    """The first look at a daemon that was just started, each time another daemon."""
    durations_s, size = [], 0
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        directory = Path(name)
        options = replay_options(directory, l3_per_socket=12)
        for _ in range(rounds):
            port = free_port()
            config = directory / "config.yaml"
            config.write_text(f"web: {{listen_address: '127.0.0.1:{port}'}}\n")
            command = [sys.executable, "-m", "toposcope", "serve", "--config", str(config), *options]
            url = f"http://127.0.0.1:{port}/"
            with process(command, directory / "log", env=ENVIRONMENT):
                wait_until(lambda url=url: answers(f"{url}-/ready"), 30, "answer")
                time.sleep(3)  # the levels are inferred in the background meanwhile
                with OpenPage(browser, url) as opened:
                    durations_s.append(opened.tab.evaluate(READY_MS) / 1000)
                    opened.tab.wait_for_selector("#measured ol.levels")
                    size = opened.tab.evaluate(TRANSFERRED_BYTES)
    report("page of 384 CPUs ready in Chromium", durations_s, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    print("| | median s | worst s | kB |\n|---|---|---|---|")
    commands(rounds)
    page(rounds)


if __name__ == "__main__":
    main()
