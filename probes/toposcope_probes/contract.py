"""All that a probe's spec imports: what a probe is, what it measures, how its program is called.

A probe is `<name>.py` with a module constant `SPEC` and, for kernels, `<name>.c` beside it. Only the
standard library is used here, so that the instruments can be used without the daemon.

The program's side of the contract. `toposcope-kernels <kernel> key=value …`, or a runtime workload run by
a Python interpreter, prints one JSON object a line, one line a target, as results arrive:

    {"schema_version": 1, "kernel": "cacheline_cas", "cpus": [0, 1], "node": null,
     "variant": {"model": "thread"}, "status": "ok" | "not_applicable" | "failed", "reason": "",
     "samples": {"latency_ns": [[26.1, 26.2, …], …]},       # one inner list a group (a line, a size, a round)
     "groups": ["line0", …],                                 # what the groups are; as long as the outer list
     "batches_kept": 240, "batches_dropped": {"context_switch": 3, "migration": 0},
     "checks": {"run_delay_ns": 0, "frequency_ratio": 1.0, …},  # facts about the visit that validity reads
     "facts": {"home_node": 0, "home_verified": true, …}}       # facts about the result, kept as they are

A batch that was begun and can't be used is dropped by reason: `context_switch` and `migration` of any member,
`deadline` where a member lost its CPU otherwise. A batch that never began because a member was off its CPU is
none; such misses are `checks.meetings_missed`. Of several members `run_delay_ns` and `frequency_ratio` are
the worst one's.

All kernels take `cpus=0,1` (one target), `pairs=0:1,0:2` or `sets=0:1:2,3` (many), `max_ms` (limit of one
target's work) and `parent_pid` (they end at once when that is no longer their parent).

Nothing but JSON goes to stdout; complaints go to stderr; the exit status is 0 whenever each target got its
line. Sources: DESIGN sections 3, 5 and 7.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SCHEMA_VERSION: Final = 1


class TargetKind(enum.Enum):
    """What one measurement of a probe is about."""

    CPU = "cpu"
    PAIR = "pair"
    CORE = "core"  # two SMT siblings
    CPU_NODE = "cpu_node"
    CORE_SET = "core_set"
    CORE_SET_NODE = "core_set_node"
    INTERPRETER = "interpreter"


class Program(enum.Enum):
    """What carries the measurement out."""

    KERNEL = "kernel"  # toposcope-kernels <name>
    RUNTIME = "runtime"  # runtime/<name>.py under a configured Python interpreter


class Estimator(enum.Enum):
    """The statistic of a visit (DESIGN section 5, `measure --format json`)."""

    # Median over the groups (lines) of each group's lowest-decile batch.
    LOWEST_DECILE_BY_GROUP = "lowest_decile_by_group"
    # Median of all samples: for costs whose typical value is what people pay (spawn, switch, ipc).
    MEDIAN = "median"
    # Mean over the groups of each group's median: for work that is summed over a core set.
    MEAN_OF_MEDIANS = "mean_of_medians"


class Better(enum.Enum):
    """Which way is good; `none` for facts that are neither."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True)
class Measure:
    """One quantity that a probe measures. `name` ends in its unit, e.g. `latency_ns`.

    `family` is the stem of the metric's name where probes share one (`cacheline_latency`); else it is
    made of the probe's and the measure's name.
    """

    name: str
    help: str
    better: Better = Better.LOWER
    estimator: Estimator = Estimator.LOWEST_DECILE_BY_GROUP
    family: str = ""


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """How much memory lies beyond the caches of a target, which only who knows the topology can say.

    The program is told by `key=<MiB>`: `times` the outermost caches of the target's CPUs together, but from
    `least_mib` (and `least_mib_a_cpu`) to `most_mib`, in powers of two where it works in octaves.
    """

    key: str
    times: float
    least_mib: int = 0
    least_mib_a_cpu: int = 0
    most_mib: int | None = None
    power_of_two: bool = False


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A probe, as the planner, the CLI, the metrics and the documents know it.

    `variants` lists, key by key, the values whose combinations are measured one by one; they are passed
    to the program as `key=value` and are part of the result's identity. `measures[0]` is the one that
    matrix, verdict, drift and advice use. `interval_s` is the time between two visits of one target,
    `visit_ms` an upper estimate of a visit's duration for the planner, `deadline_ms` the time (for one
    target) after which the runner kills the program. `saturates` marks probes that hurt others beyond
    their CPU time (memory bandwidth, shared caches): these have a second budget. `feels_load` marks probes
    whose members sleep, wait or are preempted as part of what is measured: other work on their CPUs drops no
    batch, it changes the outcome. `symmetric` pairs are measured in one direction only, as the other one is
    the same by the kernel's own making. `working_set` says how much memory the program is told to use. Probes
    that are `on_request_only` are never scheduled by the daemon itself.
    """

    name: str
    help: str
    operation: str
    target: TargetKind
    measures: tuple[Measure, ...]
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    program: Program = Program.KERNEL
    symmetric: bool = False
    two_ended: bool = False
    interval_s: float = 900.0
    visit_ms: float = 2.0
    deadline_ms: float = 2000.0
    max_age_s: float = 86_400.0
    saturates: bool = False
    feels_load: bool = False
    working_set: WorkingSet | None = None
    on_request_only: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Why something can't be measured here; a value, not an error."""

    reason: str
