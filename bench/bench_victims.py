"""Does the daemon harm its neighbours? Victims of ordinary priority beside it and without it, in turns.

    python bench/bench_victims.py [--seconds 600] [--budget-ratio 0.1] [--interval-s 0]

One daemon runs all the time and is stopped and continued (SIGSTOP, SIGCONT) from turn to turn, ABBA; it is
stopped only while no program of its runs. What it could not do meanwhile earns it no budget, but for the rest
of the step that its loop was waiting for (a quarter of a second on average): it may take somewhat more than
its budget while it runs. Before the first turn it runs until its first credit is spent. So that it takes all
of its budget and not what the plan happens to want, every short probe is due each `--interval-s`, and what
comes once a week is off, as if it had been measured; 0 leaves the intervals as they are. What it really took
comes from /proc, beside its own count.

One victim (victims.c) is pinned to each CPU: fixed work, a chase in level 2, a read of memory, then a rest,
since a CPU busy all the time would not be measured on at all. A pair is two neighbouring turns: the log ratio
of their mean times, mean of all CPUs. Turns are short because the host's own changes, which come every few
seconds, then fall between the two turns of few pairs. Printed are the mean of all pairs with its bootstrap
interval (percentiles; the loss of throughput), and the Hodges-Lehmann centre with that by signed ranks (on
which disturbed turns tell less, and rare long visits too). Which part of the change is waiting for a CPU
behind other tasks the kernel tells exactly (schedstat), without what the host does. No turn is left out.

cyclictest has turns of its own: the 99th percentile of all turns with the daemon by that of all without it,
with a bootstrap interval over pairs of turns. The positive control is the same with `--budget-ratio 0.1`.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

import toposcope_probes
from toposcope.measure.tuning import signed_rank_interval

PARTS = ("fixed work", "chase in level 2", "memory read")
# Rounds that end so soon after a switch belong to neither side: a round takes 10 ms.
EDGE_S = 0.03
START_LIMIT_S = 30.0
SHORT_VISIT_MS = 50.0
SELDOM_S = 7 * 86_400.0
RESAMPLES = 10_000
CYCLICTEST_TURN_S = 1.5
RANDOM = np.random.default_rng(1)


@dataclass(frozen=True)
class Turn:
    """When it was, whether the daemon ran in it, and what CPU time that took (user and system, s)."""

    begin_s: float
    end_s: float
    runs: bool
    cpu_s: float


def settings(folder: Path, budget_ratio: float, interval_s: float) -> dict[str, Any]:
    """A configuration in which the budget is what limits the daemon."""
    probes: dict[str, Any] = {"budget_ratio": budget_ratio}
    for spec in toposcope_probes.load_all() if interval_s else ():
        if spec.enabled and not spec.on_request_only and spec.visit_ms <= SHORT_VISIT_MS:
            probes[spec.name] = {"interval_s": interval_s}
        elif spec.interval_s >= SELDOM_S:
            probes[spec.name] = {"enabled": False}
    return {
        "web": {"listen_address": "127.0.0.1:0"},
        "store": {"directory": str(folder / "store")},
        "probes": probes,
    }


class Daemon:
    """A daemon with a store of its own, on a free port; runs until `end`."""

    def __init__(self, folder: Path, configuration: dict[str, Any]) -> None:
        (folder / "config.yaml").write_text(yaml.safe_dump(configuration))
        self._log = folder / "log"
        with self._log.open("wb") as log:
            words = [sys.executable, "-m", "toposcope", "serve", "--config", str(folder / "config.yaml")]
            self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log)
        self.url = self._served()
        self._runs = True

    def _served(self) -> str:
        end_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end_s:
            if found := re.search(r"serves (https?://\S+)", self._log.read_text()):
                return found.group(1)
            time.sleep(0.05)
        raise SystemExit(f"the daemon does not serve: {self._log.read_text()[-500:]}")

    def switch(self, runs: bool) -> None:
        """Let it go on, or stop it as soon as no program of its runs."""
        while runs != self._runs:
            self._process.send_signal(signal.SIGCONT if runs else signal.SIGSTOP)
            if runs or not self._has_children():
                self._runs = runs
            else:
                self._process.send_signal(signal.SIGCONT)
                time.sleep(0.005)

    def _has_children(self) -> bool:
        folder = Path(f"/proc/{self._process.pid}/task")
        return any((thread / "children").read_text() for thread in folder.iterdir())

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
        self.switch(True)
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


def take_turns(running: Daemon, seconds: float, turn_s: float) -> list[Turn]:
    """Stop and continue the daemon for so long: without, with, with, without it, and again."""
    turns: list[Turn] = []
    end_s = time.monotonic() + seconds
    running.switch(False)
    while time.monotonic() < end_s or len(turns) % 4:
        runs = len(turns) % 4 in (1, 2)
        running.switch(runs)
        begin_s, cpu_s = time.monotonic(), running.cpu_s()
        time.sleep(turn_s)
        if len(turns) % 4 == 2:
            running.switch(False)
        turns.append(Turn(begin_s, time.monotonic(), runs, running.cpu_s() - cpu_s))
    return turns


def run_victims(running: Daemon, options: argparse.Namespace, folder: Path) -> tuple[list[Turn], list[Any]]:
    """All victims at once; the turns, and for each CPU an array: a row a round, as victims.c prints them."""
    program = folder / "victims"
    subprocess.run(["cc", "-O2", "-o", program, Path(__file__).parent / "victims.c"], check=True)
    victims, outputs = [], []
    for cpu in sorted(os.sched_getaffinity(0)):
        outputs.append(folder / f"cpu{cpu}")
        with outputs[-1].open("wb") as output:  # a pipe would fill
            words = [str(program), str(cpu), str(2 * options.seconds + 60)]
            victims.append(subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL))
    try:
        time.sleep(1)
        turns = take_turns(running, options.seconds, options.turn_s)
    finally:
        for victim in victims:
            victim.terminate()
            victim.wait()
    # A line is whole where its end is: the last ones may be cut.
    lines = [output.read_text().rpartition("\n")[0].splitlines() for output in outputs]
    return turns, [np.array([line.split() for line in each], dtype=float) for each in lines]


def cells(turns: list[Turn], rounds: list[Any]) -> Any:  # noqa: ANN401 - numpy
    """Of each turn and CPU the mean round, in ns: its three parts, all of it, and its waiting for its CPU."""
    found = np.full((len(turns), len(rounds), len(PARTS) + 2), np.nan)
    for number, turn in enumerate(turns):
        for cpu, rows in enumerate(rounds):
            own = rows[(rows[:, 0] > turn.begin_s + EDGE_S) & (rows[:, 0] < turn.end_s)]
            if len(own):
                parts = own[:, 1 : 1 + len(PARTS)]
                found[number, cpu] = [*parts.mean(0), parts.sum(1).mean(), own[:, -1].mean()]
    return found


def paired(values: Any) -> Any:  # noqa: ANN401 - numpy
    """Of turns in order (without, with, with, without, …): with minus without, a row a pair."""
    by_pair = values.reshape(-1, 2, *values.shape[1:])
    differences = by_pair[:, 1] - by_pair[:, 0]
    differences[1::2] *= -1
    return differences


def interval(values: Any) -> tuple[float, float, float]:  # noqa: ANN401 - numpy
    """Mean, and its 95 % interval by the bootstrap's percentiles."""
    means = values[RANDOM.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    return (values.mean(), *np.percentile(means, (2.5, 97.5)))


def show_victims(turns: list[Turn], rounds: list[Any]) -> None:
    """A row a victim, one for all three together, and what of that is waiting behind other tasks."""
    found = cells(turns, rounds)
    changes = paired(np.log(found[:, :, :-1])).mean(1)  # [pair, part], mean over the CPUs
    waits = paired(found[:, :, -1] / found[:, :, -2]).mean(1)
    whole = np.isfinite(changes).all(1)
    print("| victim | pairs | mean | centre |\n|---|---|---|---|")
    for part, name in enumerate((*PARTS, "all three")):
        mean, *bounds = np.expm1(interval(changes[whole, part]))
        centre, low, high = signed_rank_interval(list(changes[whole, part]), 0.05)
        ranks = f"{np.expm1(centre):+.2%} ({np.expm1(low or np.nan):+.2%} to {np.expm1(high or np.nan):+.2%})"
        shown = f"{mean:+.2%} ({bounds[0]:+.2%} to {bounds[1]:+.2%})"
        print(f"| {name} | {whole.sum()} | {shown} | {ranks} |", flush=True)
    mean, low, high = interval(waits[whole])
    print(f"\nwaited behind other tasks: {mean:+.2%} of the rounds' time ({low:+.2%} to {high:+.2%})")


def histogram(turn_s: float) -> Any:  # noqa: ANN401 - numpy
    """cyclictest's, all CPUs together, at SCHED_OTHER, a wake-up each millisecond: counts by microsecond."""
    words = ["cyclictest", "--policy=other", "-q", "-a", "-t", str(len(os.sched_getaffinity(0)))]
    words += ["-i", "1000", "-l", str(round(1000 * turn_s)), "-h", "20000"]
    text = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    rows = [[int(word) for word in line.split()] for line in text.splitlines() if line[:1].isdigit()]
    counts = np.zeros(20_001, dtype=np.int64)
    for us, *by_cpu in rows:
        counts[us] = sum(by_cpu)
    return counts


def percentile_99_us(histograms: Any) -> Any:  # noqa: ANN401 - numpy
    """Of the sum over the first axis but one: [.., turn, us] to [..]."""
    sums = np.cumsum(histograms.sum(-2), axis=-1)
    return (sums >= 0.99 * sums[..., -1:]).argmax(-1)


def run_cyclictest(running: Daemon, pairs: int, turn_s: float) -> None:
    """Pairs of turns with and without the daemon, pooled."""
    seen: dict[bool, list[Any]] = {False: [], True: []}
    for number in range(pairs):
        for runs in (False, True) if number % 2 else (True, False):
            running.switch(runs)
            seen[runs].append(histogram(turn_s))
    running.switch(True)
    if not pairs:
        return
    on, off = np.array(seen[True]), np.array(seen[False])
    ratios = []
    for _ in range(500):
        chosen = RANDOM.integers(0, pairs, pairs)
        ratios.append(percentile_99_us(on[chosen]) / percentile_99_us(off[chosen]))
    low, high = np.percentile(ratios, (2.5, 97.5)) - 1
    with_us, without_us = percentile_99_us(on), percentile_99_us(off)
    print(
        f"\ncyclictest, {pairs} pairs of {turn_s:g} s: p99 {with_us} us with it, {without_us} without:"
        f" {with_us / without_us - 1:+.1%} ({low:+.1%} to {high:+.1%})"
    )


def show_cost(turns: list[Turn]) -> None:
    """What the daemon took while it ran, and in each fifth of the turns."""
    ran = np.array([turn.runs for turn in turns])
    lengths_s = np.array([turn.end_s - turn.begin_s for turn in turns])
    costs_s = np.array([turn.cpu_s for turn in turns])
    fifths = np.array_split(np.flatnonzero(ran), 5)
    by_part = ", ".join(f"{costs_s[part].sum() / lengths_s[part].sum():.2%}" for part in fifths)
    ran_s, took_s = lengths_s[ran].sum(), costs_s[ran].sum()
    print(f"\nthe daemon took {took_s:.2f} s in the {ran_s:.0f} s that it ran, {took_s / ran_s:.2%} of a CPU")
    print(f"(one fifth after the other: {by_part}); in the other turns {costs_s[~ran].sum():.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description="victims beside a measuring daemon and without it")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--turn-s", type=float, default=0.4)
    parser.add_argument("--cyclictest-pairs", type=int, default=40)
    parser.add_argument("--budget-ratio", type=float, default=0.01)
    parser.add_argument("--interval-s", type=float, default=5)
    parser.add_argument("--settle-s", type=float, default=60)
    parser.add_argument("--raw", type=Path, help="keep turns and rounds there (npz)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        running = Daemon(folder, settings(folder, options.budget_ratio, options.interval_s))
        try:
            time.sleep(options.settle_s)
            cpu_s, accounted_s = running.cpu_s(), running.accounted_s()
            turns, rounds = run_victims(running, options, folder)
            if options.raw is not None:
                times = np.array([(turn.begin_s, turn.end_s, turn.runs, turn.cpu_s) for turn in turns])
                np.savez_compressed(options.raw, times, *rounds)
            running.switch(True)
            cpu_s, accounted_s = running.cpu_s() - cpu_s, running.accounted_s() - accounted_s
            print(f"budget {options.budget_ratio:.0%}, turns of {options.turn_s:g} s\n")
            show_victims(turns, rounds)
            show_cost(turns)
            print(f"by /proc {cpu_s:.2f} s over all, by its own count {accounted_s:.2f} s")
            run_cyclictest(running, options.cyclictest_pairs, CYCLICTEST_TURN_S)
        finally:
            running.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
