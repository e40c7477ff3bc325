"""What a scrape costs, beside node_exporter's in the same run: `python bench/bench_scrape.py`.

Replays a machine of 384 CPUs, starts Debian's prometheus-node-exporter, and asks both in turns, so that what
else runs here disturbs both alike. One client and a new connection for each request, which is the worse case
(Prometheus keeps them). Then 50 clients at once. Prints the table of docs/benchmarks-scrape.md.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import gzip
import http.client
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "daemon"), str(ROOT / "probes")]

import msgspec  # noqa: E402

from generators import replays  # noqa: E402
from integration.prometheus_server import answers, free_port, process, wait_until  # noqa: E402
from toposcope.matrix import format_csv  # noqa: E402
from toposcope.topology.document import to_document  # noqa: E402

HEADERS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
           "Accept-Encoding": "gzip"}  # fmt: skip


def scrape(port: int) -> tuple[float, bytes]:
    """(milliseconds, body) of one scrape over a new connection."""
    begin_s = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics", headers=HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, answer.status
    return (time.perf_counter() - begin_s) * 1e3, body


def describe(name: str, durations_ms: list[float], body: bytes) -> str:
    text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    ordered = sorted(durations_ms)
    p99 = ordered[int(len(ordered) * 0.99) - 1]
    return (f"| {name} | {statistics.median(ordered):.2f} | {p99:.2f} | {ordered[-1]:.2f} | {series:,} |"
            f" {len(text) / 1e3:.0f} | {len(body) / 1e3:.0f} |")  # fmt: skip


def cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


def run(directory: Path, scrapes: int) -> None:
    topology, matrix, config = directory / "t.json", directory / "m.csv", directory / "c.yaml"
    topology.write_bytes(msgspec.json.encode(to_document(replays.machine(replays.BIG_384))))
    matrix.write_text(format_csv(replays.matrix(replays.BIG_384)))
    ports = {"toposcope": free_port(), "node_exporter": free_port()}
    config.write_text(f"web: {{listen_address: '127.0.0.1:{ports['toposcope']}'}}\n")
    ours = [sys.executable, "-m", "toposcope", "serve", "--config", str(config), "--topology", str(topology),
            "--matrix", str(matrix)]  # fmt: skip
    theirs = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{ports['node_exporter']}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with process(ours, directory / "o.log", env=environment) as a, process(theirs, directory / "t.log") as b:
        for port in ports.values():
            wait_until(lambda port=port: answers(f"http://127.0.0.1:{port}/metrics"), 30, f"answer of {port}")
        running = {"toposcope": a, "node_exporter": b}
        durations: dict[str, list[float]] = {name: [] for name in ports}
        spent_ms = {name: cpu_ms(each.pid) for name, each in running.items()}
        bodies = {}
        for _ in range(scrapes):
            for name, port in ports.items():
                duration_ms, bodies[name] = scrape(port)
                durations[name].append(duration_ms)
        print("| | median ms | p99 ms | max ms | series | kB | kB gzipped |\n|---|---|---|---|---|---|---|")
        for name in ports:
            print(describe(name, durations[name], bodies[name]))
        for name, each in running.items():
            print(f"\n{name}: {(cpu_ms(each.pid) - spent_ms[name]) / scrapes:.2f} ms of CPU time a scrape")
        with concurrent.futures.ThreadPoolExecutor(50) as clients:
            crowd = sorted(d for d, _ in clients.map(scrape, [ports["toposcope"]] * 1000))
        print(f"\n50 clients at once: median {statistics.median(crowd):.1f} ms, p99 {crowd[989]:.1f} ms")
        p99_ms = sorted(durations["toposcope"])[int(scrapes * 0.99) - 1]
        ratio = p99_ms / statistics.median(durations["node_exporter"])
        print(f"\ntoposcope's p99 is {ratio:.2f} times node_exporter's median")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scrapes", type=int, default=1000)
    with tempfile.TemporaryDirectory() as directory:
        try:
            run(Path(directory), parser.parse_args().scrapes)
        except FileNotFoundError as error:
            if error.filename != "prometheus-node-exporter":
                raise
            sys.exit("prometheus-node-exporter (Debian package) is not installed")


if __name__ == "__main__":
    main()
