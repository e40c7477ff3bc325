"""What measuring costs by plan: CPU time a day of every probe on machines of 2, 128 and 384 CPUs.

    python bench/bench_budget.py

Prints the table of ARCHITECTURE.md. A visit's CPU time is the spec's `visit_ms` on every CPU of its target,
plus a process start; what is really spent the daemon charges by wait4, and the budget bounds it.
"""

from __future__ import annotations

import sys
from collections import Counter

import toposcope_probes
from machines import MACHINES
from toposcope.choices import probe_choices
from toposcope.config import Config
from toposcope.measure.plan import Task, plan

START_MS = 1.5
DAY_S = 86_400


def cpu_ms(task: Task) -> float:
    """CPU milliseconds of one visit, by the spec."""
    cpus = len(task.identity.target.cpus) if task.spec.target.value != "interpreter" else 2
    return task.spec.visit_ms * cpus + START_MS


def main() -> None:
    """Print one line a probe, and the sum against the budget."""
    names = [spec.name for spec in toposcope_probes.load_all() if spec.enabled and not spec.on_request_only]
    cells: dict[str, Counter[str]] = {label: Counter() for label in MACHINES}
    seconds: dict[str, Counter[str]] = {label: Counter() for label in MACHINES}
    for label, described in MACHINES.items():
        tasks = plan(
            described, probe_choices(Config()), cpus=described.online_cpus, interpreters=("python3",)
        )
        for task in tasks:
            cells[label][task.spec.name] += 1
            seconds[label][task.spec.name] += cpu_ms(task) / 1000 * DAY_S / task.choice.interval_s
    print("| probe | period | " + " | ".join(f"{label}: targets, CPU s a day" for label in MACHINES) + " |")
    print("|---|---|" + "---|" * len(MACHINES))
    for name in names:
        spec = toposcope_probes.find(name)
        assert spec is not None
        columns = " | ".join(f"{cells[label][name]}, {seconds[label][name]:.0f}" for label in MACHINES)
        print(f"| `{name}` | {spec.interval_s / 60:.0f} min | {columns} |")
    sums = " | ".join(f"{sum(seconds[label].values()):.0f}" for label in MACHINES)
    print(f"| all | | {sums} |")
    shares = " | ".join(f"{sum(seconds[label].values()) / DAY_S:.2%}" for label in MACHINES)
    print(f"| of one CPU | | {shares} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
