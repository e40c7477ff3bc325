"""What a load on all CPUs does to what is published: every hardware probe beside stress-ng and without it.

    python bench/bench_stress.py [--visits 12] [--load "stress-ng --cpu 2"]

The load is stopped and continued (SIGSTOP, SIGCONT) from visit to visit, so that both series see the same
minutes of a machine whose hypervisor moves CPUs. Each series is judged as the daemon judges it. A result that
is published as `ok` under load has to lie within a tenth of the quiet one; any other verdict is a refusal
with a reason. What the operating system takes (os_jitter) and what a wake-up costs change under load by their
nature: their rows are answers, not errors.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import toposcope_probes
from toposcope.clock import SystemClock
from toposcope.measure.load import LoadMeter
from toposcope.measure.plan import ProbeChoice, Task, plan
from toposcope.measure.validity import judge_result
from toposcope.measure.visit import Visitor
from toposcope.results import Identity, Result, Target, Visit
from toposcope.topology.discover import discover
from toposcope.topology.sysfs import Root
from toposcope_probes.contract import Program

# Time for the load to spread over the CPUs, or for the CPUs to fall idle.
SETTLE_S = 0.06
AGREE_RATIO = 0.10


def tasks() -> Iterator[Task]:
    """One task for each probe in C and each of its variants; the widest core sets."""
    machine = discover(Root("/"))
    specs = [spec for spec in toposcope_probes.load_all() if spec.program is Program.KERNEL and spec.enabled]
    choices = [ProbeChoice(spec, spec.interval_s, spec.max_age_s) for spec in specs]
    widest: dict[tuple[str, str], Task] = {}
    for task in plan(machine, choices, cpus=machine.usable_cpus):
        key = (task.spec.name, str(sorted(task.identity.variant.items())))
        if key not in widest or len(task.identity.target.cpus) > len(widest[key].identity.target.cpus):
            widest[key] = task
    yield from widest.values()
    for choice in choices:  # a machine without siblings plans none: its first two CPUs tell as much here
        if not any(task.spec is choice.spec for task in widest.values()):
            pair = Target(tuple(machine.usable_cpus[:2]))
            yield Task(choice, Identity(choice.spec.name, pair, {"model": "thread"}), 0)


class Load:
    """Processes that are stopped at first."""

    def __init__(self, command: str) -> None:
        self._leader = subprocess.Popen(
            shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def send(self, number: signal.Signals) -> None:
        """Stop, continue or kill all of them."""
        os.killpg(self._leader.pid, number)

    def end(self) -> None:
        """Kill and reap."""
        self.send(signal.SIGKILL)
        self._leader.wait()


async def take_turns(
    visitor: Visitor, task: Task, load: Load, visits: int
) -> tuple[list[Visit], list[Visit]]:
    """Visits without and with the load, by turns."""
    quiet, loaded = [], []
    for _ in range(visits):
        load.send(signal.SIGSTOP)
        await asyncio.sleep(SETTLE_S)
        quiet.append((await visitor.visit(task)).visit)
        load.send(signal.SIGCONT)
        await asyncio.sleep(SETTLE_S)
        loaded.append((await visitor.visit(task)).visit)
    return quiet, loaded


def values(result: Result) -> list[tuple[float, float]]:
    """What is published of a result: (estimate, share) of each mode; one that stays has just one."""
    if result.verdict in ("ok", "noisy"):
        return [(result.measures[result.primary].estimate, 1.0)]
    return [(mode.value.estimate, mode.share) for mode in result.modes]


def published(result: Result) -> str:
    if result.verdict in ("failed", "not_applicable"):
        return f"{result.verdict}: {result.reason[:60]}"
    listed = ", ".join(
        f"{value:.3g}" + (f" ({share:.0%})" if share < 1 else "") for value, share in values(result)
    )
    return f"{result.verdict}: {listed}"


def counted(visits: Sequence[Visit]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in Counter(visit.verdict for visit in visits).items())


def show(task: Task, quiet: Sequence[Visit], loaded: Sequence[Visit]) -> None:
    """One row of a Markdown table. A mode under load is compared with the nearest one of the quiet visits."""
    primary = task.spec.measures[0].name
    before, after = (judge_result(task.identity, primary, visits) for visits in (quiet, loaded))
    ratios = []
    for value, _ in values(after):
        near = min(
            (value / other for other, _ in values(before)), key=lambda r: abs(math.log(r)), default=None
        )
        ratios += [near] if near is not None else []
    holds = "yes" if after.verdict == "ok" and ratios and abs(ratios[0] - 1) < AGREE_RATIO else "NO"
    if after.verdict != "ok":
        holds = f"says {after.verdict}"
    variant = " ".join(task.identity.variant.values())
    listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"| {task.spec.name} {variant} | {primary} | {published(before)} | {published(after)} | {listed} |"
        f" {counted(loaded)} | {holds} |",
        flush=True,
    )


async def compare(options: argparse.Namespace) -> None:
    clock = SystemClock()
    visitor = Visitor(clock, steal_ms=LoadMeter(clock, range(os.cpu_count() or 1)).steal_ms)
    load = Load(options.load)
    try:
        for task in tasks():
            if not options.probes or task.spec.name in options.probes:
                show(task, *await take_turns(visitor, task, load, options.visits))
    finally:
        load.end()


def main() -> int:
    parser = argparse.ArgumentParser(description="what is published beside a load and without it")
    parser.add_argument("probes", nargs="*", help="all that are written in C unless named")
    parser.add_argument("--visits", type=int, default=12)
    parser.add_argument("--load", default="stress-ng --cpu 2")
    options = parser.parse_args()
    print("| probe | measure | quiet | under load | ratio | visits under load | holds |")
    print("|---|---|---|---|---|---|---|", flush=True)
    asyncio.run(compare(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
