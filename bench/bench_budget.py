"""What measuring costs by plan: CPU time a day of every probe on machines of 2, 128 and 384 CPUs.

    python bench/bench_budget.py

Prints the table of ARCHITECTURE.md. A visit's CPU time is the spec's `visit_ms` on every CPU of its target,
plus a process start; what is really spent the daemon charges by wait4, and the budget bounds it. The daemon's
own work is that of reading, judging, committing and showing a visit, and of a scrape every 15 s.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

import toposcope_probes
from machines import MACHINES
from toposcope.choices import probe_choices
from toposcope.config import Config
from toposcope.measure.plan import MATRIX_PROBE, Task, plan
from toposcope.measure.schedule import MATRIX_STEP_S
from toposcope.topology.model import Machine
from toposcope_probes.contract import Program

START_MS = 1.5
DAY_S = 86_400
# Own CPU time a visit by bench_matrix.py and a commit more, and a scrape by docs/benchmarks-scrape.md.
OWN_MS_A_VISIT = 1.5
SCRAPE_MS = 1.6
SCRAPES_A_DAY = DAY_S / 15


def cpu_ms(task: Task) -> float:
    """CPU milliseconds of one visit, by the spec."""
    cpus = len(task.identity.target.cpus) if task.spec.target.value != "interpreter" else 2
    return task.spec.visit_ms * cpus + START_MS


@dataclass
class Sums:
    """What a machine's plan costs a day, in seconds."""

    tasks: Counter[str] = field(default_factory=Counter)
    by_probe: Counter[str] = field(default_factory=Counter)
    by_cpu: Counter[int] = field(default_factory=Counter)
    by_node: Counter[int] = field(default_factory=Counter)
    own_s: float = SCRAPES_A_DAY * SCRAPE_MS / 1000
    long_s: float = 0.0
    saturated_s: float = 0.0
    first_look_s: float = 0.0
    matrix_pairs: int = 0

    @property
    def total_s(self) -> float:
        """All of it."""
        return sum(self.by_probe.values()) + self.own_s


def add_up(described: Machine) -> Sums:
    """The sums over the daemon's plan for a machine."""
    sums = Sums()
    for task in plan(
        described,
        probe_choices(Config()),
        cpus=described.online_cpus,
        interpreters=("python3",),
        is_lasting=True,
    ):
        visits_a_day, target = DAY_S / task.choice.interval_s, task.identity.target
        cost_s = cpu_ms(task) / 1000 * visits_a_day
        sums.tasks[task.spec.name] += 1
        sums.matrix_pairs += task.tier == 2
        sums.by_probe[task.spec.name] += cost_s
        sums.own_s += OWN_MS_A_VISIT / 1000 * visits_a_day
        sums.long_s += cost_s * task.is_long
        for cpu in target.cpus:
            sums.by_cpu[cpu] += cost_s / len(target.cpus)
        if task.spec.saturates:
            duration_s = task.spec.visit_ms / 1000 * visits_a_day
            sums.saturated_s += duration_s
            for node in {described.node_of(cpu) for cpu in target.cpus} | {target.node}:
                if node is not None:
                    sums.by_node[node] += duration_s
        elif task.tier == 0 and task.spec.program is Program.KERNEL:
            sums.first_look_s += (task.spec.visit_ms + START_MS) / 1000
    return sums


def main() -> None:
    """Print one line a probe, and the sums against the budgets."""
    sums = {label: add_up(described) for label, described in MACHINES.items()}
    each = list(sums.values())
    matrix_spec = toposcope_probes.find(MATRIX_PROBE)
    assert matrix_spec is not None
    pair_s = (2 * matrix_spec.visit_ms + START_MS + OWN_MS_A_VISIT) / 1000
    print("| probe | period | " + " | ".join(f"{label}: targets, CPU s a day" for label in sums) + " |")
    print("|---|---|" + "---|" * len(sums))
    for spec in toposcope_probes.load_all():
        if spec.enabled and not spec.on_request_only:
            columns = " | ".join(f"{one.tasks[spec.name]}, {one.by_probe[spec.name]:.0f}" for one in each)
            print(f"| `{spec.name}` | {spec.interval_s / 60:.0f} min | {columns} |")
    for what, values in (
        ("the daemon itself", [f"{one.own_s:.0f}" for one in each]),
        ("all, of 864 (1 % of one CPU)", [f"{one.total_s:.0f}" for one in each]),
        ("long visits, of 576", [f"{one.long_s:.0f}" for one in each]),
        ("the CPU that bears most, of 432", [f"{max(one.by_cpu.values()):.0f}" for one in each]),
        ("seconds of saturation, of 86", [f"{one.saturated_s:.0f}" for one in each]),
        ("the node that bears most, of 43", [f"{max(one.by_node.values()):.0f}" for one in each]),
        ("first look at representatives, s", [f"{one.first_look_s:.1f}" for one in each]),
        ("pairs of the matrix beyond these", [f"{one.matrix_pairs}" for one in each]),
        ("first time through them, h", [f"{one.matrix_pairs * MATRIX_STEP_S / 3600:.1f}" for one in each]),
        ("CPU s that this takes once", [f"{one.matrix_pairs * pair_s:.0f}" for one in each]),
    ):
        print(f"| {what} | | {' | '.join(values)} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
