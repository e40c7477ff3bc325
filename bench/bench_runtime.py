"""The Python probes against independent checks, and the claims that follow from them on this machine.

    python bench/bench_runtime.py checks [rounds]    interleaved with pyperf and ten-line programs
    python bench/bench_runtime.py claims             what a report's runtime part measures and says

Every check runs in a process of its own, pinned to the same CPUs as the probe, in turn with it, so that both
see the same machine; compared are medians over the rounds. pyperf must be installed for the checks.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import toposcope_probes
from toposcope import claims
from toposcope.measure.visit import estimates
from toposcope.measure.wire import decode
from toposcope.results import Identity, Target, Visit
from toposcope.topology.model import Machine
from toposcope_probes.contract import Program

RUNTIME = Path(toposcope_probes.__file__).parent / "runtime"
CPUS = sorted(os.sched_getaffinity(0))[:2]

SWITCH_TASKS = """
import asyncio, statistics, time
async def turns():
    for _ in range(100): await asyncio.sleep(0)
async def main():
    times = []
    for _ in range(100):
        begin = time.perf_counter_ns()
        await asyncio.gather(turns(), turns())
        times.append((time.perf_counter_ns() - begin) / 200)
    print(statistics.median(times))
asyncio.run(main())
"""
SWITCH_THREADS = """
import statistics, threading, time
a, b = threading.Lock(), threading.Lock()
a.acquire(); b.acquire()
def other():
    while True: b.acquire(); a.release()
threading.Thread(target=other, daemon=True).start()
times = []
for _ in range(300):
    begin = time.perf_counter_ns()
    for _ in range(20): b.release(); a.acquire()
    times.append((time.perf_counter_ns() - begin) / 40)
print(statistics.median(times))
"""
SWITCH_PROCESSES = """
import multiprocessing, statistics, time
mp = multiprocessing.get_context("fork")
a, b = mp.Semaphore(0), mp.Semaphore(0)
def other():
    while True: b.acquire(); a.release()
mp.Process(target=other, daemon=True).start()
times = []
for _ in range(300):
    begin = time.perf_counter_ns()
    for _ in range(20): b.release(); a.acquire()
    times.append((time.perf_counter_ns() - begin) / 40)
print(statistics.median(times))
"""
PIPE_TRIP = """
import multiprocessing, os, statistics, time
mp = multiprocessing.get_context("fork")
near, far = mp.Pipe()
def other():
    os.sched_setaffinity(0, {%(last)d})
    while True: far.send(far.recv())
mp.Process(target=other, daemon=True).start()
os.sched_setaffinity(0, {%(first)d})
times = []
for _ in range(1500):
    begin = time.perf_counter_ns(); near.send(b"m" * 64); near.recv()
    times.append(time.perf_counter_ns() - begin)
print(statistics.median(times))
"""
QUEUE_TRIP = """
import os, queue, statistics, threading, time
there, back = queue.Queue(), queue.Queue()
def other():
    os.sched_setaffinity(0, {%(last)d})
    while True: back.put(there.get())
threading.Thread(target=other, daemon=True).start()
os.sched_setaffinity(0, {%(first)d})
times = []
for _ in range(1500):
    begin = time.perf_counter_ns(); there.put(b"m" * 64); back.get()
    times.append(time.perf_counter_ns() - begin)
print(statistics.median(times))
"""
STALL_TASKS = """
import asyncio, time
async def hog():
    until = time.perf_counter() + 0.04
    while time.perf_counter() < until: pass
async def main():
    gaps, last, busy = [], time.perf_counter_ns(), asyncio.create_task(hog())
    while not busy.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter_ns(); gaps.append(now - last); last = now
    print(max(gaps))
asyncio.run(main())
"""
PYPERF_THREAD = ("import threading\ndef f(): pass", "t = threading.Thread(target=f); t.start(); t.join()")
PYPERF_FORK = (
    "import multiprocessing\nmp = multiprocessing.get_context('fork')\ndef f(): pass",
    "p = mp.Process(target=f); p.start(); p.join()",
)
AWAIT = """
async def f(): pass
async def g():
    for _ in range(1000): await f()
def run():
    try: g().send(None)
    except StopIteration: pass
"""
PYPERF_AWAIT = (AWAIT, "run()")

# name, probe, variant, measure, check, what one figure of the check is divided by
CHECKS = [
    ("thread, made and joined (pyperf)", "python_spawn", {"model": "thread"}, "create_ns", PYPERF_THREAD, 1),
    (
        "fork, made and joined (pyperf)",
        "python_spawn",
        {"model": "process_fork"},
        "create_ns",
        PYPERF_FORK,
        1,
    ),
    ("await (pyperf)", "python_switch", {"model": "await"}, "switch_ns", PYPERF_AWAIT, 1000),
    ("switch of asyncio tasks", "python_switch", {"model": "asyncio_task"}, "switch_ns", SWITCH_TASKS, 1),
    ("hand-over of threads", "python_switch", {"model": "thread"}, "switch_ns", SWITCH_THREADS, 1),
    ("hand-over of processes", "python_switch", {"model": "process"}, "switch_ns", SWITCH_PROCESSES, 1),
    ("queue.Queue round trip", "python_channel", {"channel": "queue"}, "round_trip_ns", QUEUE_TRIP, 1),
    ("Pipe round trip", "python_channel", {"channel": "pipe"}, "round_trip_ns", PIPE_TRIP, 1),
    ("stall beside a coroutine", "python_switch", {"model": "asyncio_task"}, "stall_ns", STALL_TASKS, 1),
]


def probe_visit(probe: str, variant: dict[str, str]) -> Visit:
    words = [f"cpus={','.join(map(str, CPUS))}", *(f"{key}={value}" for key, value in variant.items())]
    command = [sys.executable, str(RUNTIME / f"{probe}.py"), *words]
    begin_s = time.monotonic()
    line = decode(subprocess.run(command, capture_output=True, check=True).stdout)
    spec = toposcope_probes.find(probe)
    assert spec is not None
    measures = estimates(spec, line.samples) if line.status == "ok" else {}
    duration_s = time.monotonic() - begin_s
    return Visit(time.time(), duration_s, line.status, line.reason, measures, facts=dict(line.facts))


def check_figure(check: str | tuple[str, str], on_one_cpu: bool) -> float:
    if isinstance(check, tuple):
        return pyperf_figure(*check)
    command = [sys.executable, "-c", check % {"first": CPUS[0], "last": CPUS[-1]} if "%(" in check else check]
    if on_one_cpu:
        command = ["taskset", "-c", str(CPUS[0]), *command]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def pyperf_figure(setup: str, statement: str) -> float:
    """Median of pyperf's values, ns, one worker process pinned to the first CPU."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "values.json"
        options = [
            "-p",
            "1",
            "-n",
            "60",
            "-w",
            "5",
            "-l",
            "1",
            f"--affinity={CPUS[0]}",
            "-q",
            "-o",
            str(output),
        ]
        subprocess.run(
            [sys.executable, "-m", "pyperf", "timeit", *options, "-s", setup, statement],
            capture_output=True, check=True,
        )  # fmt: skip
        (benchmark,) = json.loads(output.read_text())["benchmarks"]
        return statistics.median(benchmark["runs"][-1]["values"]) * 1e9


def compare(rounds: int) -> None:
    print("| what | probe, median (range) ns | check, median (range) ns | probe / check |")
    print("|---|---|---|---|")
    for name, probe, variant, measure, check, divisor in CHECKS:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(probe_visit(probe, variant).measures[measure].estimate)
            theirs.append(check_figure(check, probe != "python_channel") / divisor)
        ratio = statistics.median(ours) / statistics.median(theirs)
        print(f"| {name} | {figures(ours)} | {figures(theirs)} | {ratio:.2f} |", flush=True)


def figures(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def report() -> None:
    runtime = {spec.name for spec in toposcope_probes.load_all() if spec.program is Program.RUNTIME}
    wanted = [one for one in claims.wanted(visits=3) if one.probe in runtime]
    seen: dict[int, list[Visit]] = {index: [] for index in range(len(wanted))}
    begin_s = time.monotonic()
    for turn in range(3):
        for index, one in enumerate(wanted):
            if turn < one.visits:
                seen[index].append(probe_visit(one.probe, dict(one.variant)))
    duration_s = time.monotonic() - begin_s
    target = Target(tuple(CPUS), interpreter="python3")
    table = [
        claims.Series(Identity(one.probe, target, dict(one.variant)), seen[index])
        for index, one in enumerate(wanted)
    ]
    costs: dict[str, float] = {}
    for index, one in enumerate(wanted):
        costs[one.probe] = costs.get(one.probe, 0) + sum(visit.duration_s for visit in seen[index])
    for claim in claims.judge(table, Machine(is_this_system=True, online_cpus=tuple(CPUS))):
        print(f"{claim.claim:36} {claim.verdict:15} {claim.sentence} {claim.reason}")
        if "flips" in claim.numbers:
            print("   flips:", json.dumps(claim.numbers["flips"]["python3"]))
    print(
        f"{sum(map(len, seen.values()))} visits in {duration_s:.0f} s:",
        {k: round(v, 1) for k, v in costs.items()},
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["claims"]:
        report()
    else:
        compare(int(sys.argv[2]) if len(sys.argv) > 2 else 5)
