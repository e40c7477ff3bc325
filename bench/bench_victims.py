"""Does the daemon harm its neighbours? Victims of ordinary priority beside it and without it, in turns.

    python bench/bench_victims.py [--seconds 240] [--cyclictest-turns 40] [--budget-ratio 0.01] [--turn-s 1]

A daemon measures all that it does by default; it is stopped and continued (SIGSTOP, SIGCONT) from turn to
turn. It keeps earning budget while stopped and spends it in the other half of the time, so it is given half
of `--budget-ratio`: while it runs it may take all of that. What it really took comes from /proc.

One victim (victims.c) is pinned to each CPU: fixed work, a chase in level 2, a read of memory, then a rest,
since a CPU busy all the time would not be measured on at all. A pair is the mean of a turn with the daemon by
that of the turn without it; printed is the Hodges-Lehmann centre of all pairs with its 95 % interval (signed
ranks). For cyclictest, a pair is the ratio of two 99th percentiles. The positive control is the same with
`--budget-ratio 0.2`: it has to be seen.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from toposcope.measure.tuning import signed_rank_interval

VICTIMS = ("fixed work", "chase in level 2", "memory read")
# Rounds that end so soon after a switch belong to neither side: a round takes 10 ms.
EDGE_S = 0.03
START_LIMIT_S = 30.0


class Daemon:
    """A daemon with a store of its own, on a free port; runs until `end`."""

    def __init__(self, folder: Path, budget_ratio: float) -> None:
        settings = {
            "web": {"listen_address": "127.0.0.1:0"},
            "store": {"directory": str(folder / "store")},
            "probes": {"budget_ratio": budget_ratio / 2},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        self._log = folder / "log"
        with self._log.open("wb") as log:
            words = [sys.executable, "-m", "toposcope", "serve", "--config", str(folder / "config.yaml")]
            self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log)
        self.url = self._served()

    def _served(self) -> str:
        end_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end_s:
            if found := re.search(r"serves (https?://\S+)", self._log.read_text()):
                return found.group(1)
            time.sleep(0.05)
        raise SystemExit(f"the daemon does not serve: {self._log.read_text()[-500:]}")

    def send(self, number: signal.Signals) -> None:
        """Stop it or let it go on."""
        self._process.send_signal(number)

    def cpu_s(self) -> float:
        """User and system time of the daemon and of the children it has waited for (proc(5))."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def accounted_s(self) -> float:
        """What it says that measuring has cost since its start, its own time with its kernels'."""
        with urllib.request.urlopen(self.url + "/api/v1/status", timeout=10) as answer:
            return float(_find(msgspec.json.decode(answer.read()), "budget")["cpu"]["spent_s"])

    def end(self) -> None:
        """Ended and reaped."""
        self.send(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(timeout=START_LIMIT_S)


def _find(document: Any, key: str) -> Any:  # noqa: ANN401 - any JSON
    """The first value of that key, at whatever depth."""
    if isinstance(document, dict):
        if key in document:
            return document[key]
        found = (_find(value, key) for value in document.values())
        return next((value for value in found if value is not None), None)
    return None


@contextlib.contextmanager
def daemon(budget_ratio: float, first_looks_s: float) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as folder:
        running = Daemon(Path(folder), budget_ratio)
        try:
            time.sleep(first_looks_s)
            yield running
        finally:
            running.end()


def switched(running: Daemon, seconds: float, turn_s: float) -> list[tuple[float, float, bool]]:
    """Stop and continue the daemon for so long; (begin, end, whether it ran) of each turn, ABBA."""
    turns = []
    for number in range(round(seconds / turn_s)):
        runs = number % 4 in (1, 2)
        running.send(signal.SIGCONT if runs else signal.SIGSTOP)
        begin_s = time.monotonic()
        time.sleep(turn_s)
        turns.append((begin_s, time.monotonic(), runs))
    running.send(signal.SIGCONT)
    return turns


def pairs(rounds: list[list[float]], turns: list[tuple[float, float, bool]], part: int) -> list[float]:
    """Log ratios, with the daemon by without it, of neighbouring turns' mean times."""
    means = []
    for begin_s, end_s, _ in turns:
        times = [each[part] for each in rounds if begin_s + EDGE_S < each[0] < end_s]
        means.append(statistics.fmean(times) if times else math.nan)
    ratios = []
    for first in range(0, len(turns) - 1, 2):
        one, other = means[first], means[first + 1]
        ratio = math.log(one / other) if turns[first][2] else math.log(other / one)
        if math.isfinite(ratio):
            ratios.append(ratio)
    return ratios


def show(label: str, ratios: list[float]) -> None:
    centre, low, high = signed_rank_interval(ratios, 0.05)
    interval = "none" if low is None or high is None else f"{math.expm1(low):+.2%} to {math.expm1(high):+.2%}"
    print(f"| {label} | {len(ratios)} | {math.expm1(centre):+.2%} | {interval} |", flush=True)


def run_victims(running: Daemon, options: argparse.Namespace, folder: Path) -> None:
    """All victims at once, one process a CPU; what they print goes to files, since a pipe would fill."""
    program = folder / "victims"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).parent / "victims.c"], check=True)
    victims, outputs = [], []
    for cpu in sorted(os.sched_getaffinity(0)):
        outputs.append(folder / f"cpu{cpu}")
        with outputs[-1].open("wb") as output:
            words = [str(program), str(cpu), str(options.seconds + 1)]
            victims.append(subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL))
    turns = switched(running, options.seconds, options.turn_s)
    for victim in victims:
        victim.wait()
    by_cpu = [
        [[float(word) for word in line.split()] for line in output.read_text().splitlines()]
        for output in outputs
    ]
    for part, name in enumerate(VICTIMS, start=1):
        show(f"{name}: time", [ratio for rounds in by_cpu for ratio in pairs(rounds, turns, part)])


def percentile_99_us(cpu_count: int, turn_s: float) -> float:
    """Of cyclictest's histograms over all CPUs, at SCHED_OTHER, a wake-up each millisecond."""
    words = ["cyclictest", "--policy=other", "-q", "-a", "-t", str(cpu_count), "-i", "1000"]
    words += ["-l", str(round(1000 * turn_s)), "-h", "20000"]
    text = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    rows = [[int(word) for word in line.split()] for line in text.splitlines() if line[:1].isdigit()]
    total, seen = sum(sum(row[1:]) for row in rows), 0
    for us, *counts in rows:
        seen += sum(counts)
        if seen >= 0.99 * total:
            return float(us)
    return math.nan


def run_cyclictest(running: Daemon, options: argparse.Namespace) -> None:
    ratios = []
    for number in range(options.cyclictest_turns):
        seen = {}
        for runs in (False, True) if number % 2 else (True, False):
            running.send(signal.SIGCONT if runs else signal.SIGSTOP)
            seen[runs] = percentile_99_us(len(os.sched_getaffinity(0)), options.turn_s)
        ratios.append(math.log(seen[True] / seen[False]))
    running.send(signal.SIGCONT)
    show("cyclictest: 99th percentile", ratios)


def main() -> int:
    parser = argparse.ArgumentParser(description="victims beside a measuring daemon and without it")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--turn-s", type=float, default=1)
    parser.add_argument("--cyclictest-turns", type=int, default=40)
    parser.add_argument("--budget-ratio", type=float, default=0.01)
    parser.add_argument("--first-looks-s", type=float, default=60)
    options = parser.parse_args()
    print(
        f"budget {options.budget_ratio:.0%}\n\n| victim | pairs | change | 95 % interval |\n|---|---|---|---|"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        daemon(options.budget_ratio, options.first_looks_s) as running,
    ):
        begin_s, cpu_s, accounted_s = time.monotonic(), running.cpu_s(), running.accounted_s()
        run_victims(running, options, Path(folder))
        cpu_s, accounted_s = running.cpu_s() - cpu_s, running.accounted_s() - accounted_s
        passed_s = time.monotonic() - begin_s
        run_cyclictest(running, options)
    print(f"\nmeanwhile the daemon took {cpu_s:.2f} s of CPU time by /proc, {accounted_s:.2f} s by its own")
    shares = f"{cpu_s / passed_s:.2%} of a CPU, {2 * cpu_s / passed_s:.2%} while it ran"
    print(f"count, in {passed_s:.0f} s: {shares}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
