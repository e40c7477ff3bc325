"""Every metric family there is, and the limits that bound how many series a machine may have.

A name or label here is an interface: people's dashboards and alerts rest on it. A test holds the list
against a golden one, so that renaming is a decision and not an accident.
"""

from __future__ import annotations

from typing import Final

import toposcope_probes
from toposcope import units
from toposcope.metrics.family import Family
from toposcope_probes.contract import Measure, ProbeSpec, TargetKind

# Limits by part. A machine of 384 CPUs and 24 L3 domains stays far below; they hold for any machine.
RESULT_SERIES_MAX: Final = 12_000  # with their verdicts
DOMAIN_PAIR_SERIES_MAX: Final = 2_500  # all pairs of 70 domains
CPU_SERIES_MAX: Final = 1_024
DISTANCE_SERIES_MAX: Final = 256
EVENT_KINDS_MAX: Final = 30
# Up to this many domains at a level each pair of them has all statistics, beyond it only the estimate.
DETAILED_DOMAINS_MAX: Final = 8

# line_spread is an interval's companion for people who look into one result: it is in the API.
STATS: Final = ("estimate", "min", "median", "p90", "low", "high")

_TARGET: Final = ("probe", "model", "variant", "relation", "core_set", "cpu_node", "node", "interpreter")
_PAIR: Final = ("probe", "model", "variant", "level", "domain", "other_domain")

BUILD: Final = Family(
    "toposcope_build", "info", "Version of toposcope and of its interpreter.", ("version", "python")
)
REPLAY: Final = Family(
    "toposcope_replay", "gauge", "1 where the daemon replays another machine and measures nothing, else 0."
)
MACHINE: Final = Family(
    "toposcope_machine",
    "info",
    "What the machine is; the fingerprint changes with its topology.",
    ("fingerprint", "mode", "cpu_model", "hypervisor", "architecture"),
)
SETTING: Final = Family(
    "toposcope_setting",
    "info",
    "Settings of the machine that change what a measurement means; reported, never set.",
    ("frequency_governor", "turbo", "thp", "numa_balancing", "smt_control", "clocksource"),
)
SETS: Final = Family(
    "toposcope_topology_sets", "gauge", "How many of each there are, online, as declared.", ("level",)
)
CPU: Final = Family(
    "toposcope_cpu",
    "info",
    "Where a CPU lies. Cores and L3 domains are named by their first CPU, packages by position, nodes by id.",
    ("cpu", "core", "l3", "node", "package"),
)
NODE_MEMORY: Final = Family("toposcope_node_memory_bytes", "gauge", "Memory of a NUMA node.", ("node",))
NODE_DISTANCE: Final = Family(
    "toposcope_declared_node_distance",
    "gauge",
    "Distance that firmware declares (ACPI SLIT, 10 is local); not a measurement.",
    ("node", "other_node"),
)
DOUBTS: Final = Family(
    "toposcope_topology_doubts", "gauge", "Contradictions met while reading the topology; the API lists them."
)
VERDICT: Final = Family(
    "toposcope_result_verdict",
    "gauge",
    "1 for the verdict in force, 0 for the others.",
    (*_TARGET, "verdict"),
)
SUCCESS: Final = Family(
    "toposcope_result_last_success_timestamp_seconds",
    "gauge",
    "When a sound visit was last made, in seconds since the epoch; absent in replay.",
    _TARGET,
)
MODE_SHARE: Final = Family(
    "toposcope_result_mode_share_ratio", "gauge", "Share of visits in each mode.", (*_TARGET, "mode")
)
TARGETS: Final = Family(
    "toposcope_result_targets", "gauge", "Targets (pairs of CPUs, core sets, …) behind a result.", _TARGET
)
PAIR_VERDICTS: Final = Family(
    "toposcope_domain_pairs",
    "gauge",
    "Pairs of domains by verdict: how many have a value, and how many have none and why.",
    ("probe", "model", "variant", "level", "verdict"),
)
PAIR_SUCCESS: Final = Family(
    "toposcope_domain_pair_last_success_timestamp_seconds",
    "gauge",
    f"When a pair of domains was last measured soundly; up to {DETAILED_DOMAINS_MAX} domains.",
    _PAIR,
)
PLACEMENT: Final = Family(
    "toposcope_placement_stable",
    "gauge",
    "1 where CPUs stay where they are, 0 where a hypervisor moves them; absent while unknown.",
)
CLAIM_VERDICT: Final = Family(
    "toposcope_claim_verdict",
    "gauge",
    "1 for the verdict on a claim of the report, 0 for the others.",
    ("claim", "verdict"),
)
CLAIM_RATIO: Final = Family(
    "toposcope_claim_ratio", "gauge", "A claim's ratio with its 95 % interval.", ("claim", "stat")
)
AGREEMENT: Final = Family(
    "toposcope_declared_agreement",
    "gauge",
    "1 for how measured latencies relate to a declared relation, 0 for the other states.",
    ("relation", "state"),
)
AGREEMENT_RATIO: Final = Family(
    "toposcope_declared_agreement_ratio",
    "gauge",
    "How far latencies agree with a declared relation: 1 is as declared, 0.5 can't be seen.",
    ("relation",),
)
DISAGREEING: Final = Family(
    "toposcope_declared_disagreeing_cpus",
    "gauge",
    "CPUs that are not as near to each other as a declared relation says; the API lists them.",
    ("relation",),
)
DRIFTED: Final = Family(
    "toposcope_drifted_groups",
    "gauge",
    "Groups of results that are outside their baseline now, by relation.",
    ("relation",),
)
_DRIFT_GROUP: Final = ("probe", "model", "variant", "relation")
DRIFT_STATE: Final = Family(
    "toposcope_drift_group_state",
    "gauge",
    "1 for the state of a group watched for drift, 0 for the others; only a stable one raises events.",
    (*_DRIFT_GROUP, "state"),
)
DRIFT_VARIATION: Final = Family(
    "toposcope_drift_group_variation_ratio",
    "gauge",
    "By how much the visits of a watched group differ while nothing changes; absent while it is learnt.",
    _DRIFT_GROUP,
)
DRIFT_CHANGED: Final = Family(
    "toposcope_drift_group_last_change_timestamp_seconds",
    "gauge",
    "When a watched group last changed, in seconds since the epoch; absent if it never did.",
    _DRIFT_GROUP,
)
AUDIT: Final = Family("toposcope_audit_findings", "gauge", "Findings of the audit, by check.", ("check",))
SELF_TEST: Final = Family(
    "toposcope_advice_self_test_regret_ratio",
    "gauge",
    "How much worse the advised placement was than the best one tried; 0 is none.",
)
SELF_TEST_TIME: Final = Family(
    "toposcope_advice_self_test_timestamp_seconds", "gauge", "When the advice was last tested."
)
EVENTS: Final = Family("toposcope_events", "counter", "Events since the daemon's start, by kind.", ("kind",))
VISITS: Final = Family(
    "toposcope_probe_visits", "counter", "Visits made since the daemon's start.", ("probe", "verdict")
)
FAULTS: Final = Family(
    "toposcope_probe_faults", "counter", "Programs that failed, by reason.", ("probe", "reason")
)
KEPT: Final = Family("toposcope_probe_batches_kept", "counter", "Batches used.", ("probe",))
DROPPED: Final = Family(
    "toposcope_probe_batches_dropped", "counter", "Batches dropped, by reason.", ("probe", "reason")
)
DURATION: Final = Family(
    "toposcope_probe_duration_seconds", "counter", "Time from exec to reap of all visits.", ("probe",)
)
CPU_TIME: Final = Family("toposcope_probe_cpu_seconds", "counter", "CPU time of all visits.", ("probe",))
PROBE_SUCCESS: Final = Family(
    "toposcope_probe_last_success_timestamp_seconds",
    "gauge",
    "When a probe last made a sound visit, in seconds since the epoch.",
    ("probe",),
)
PLANNED: Final = Family("toposcope_planned_targets", "gauge", "Targets that are measured again and again.")
LOCK_WAITS: Final = Family(
    "toposcope_measuring_lock_waits", "counter", "Times that another measuring process had to be waited for."
)
LOCK_IGNORED: Final = Family(
    "toposcope_measuring_lock_ignored",
    "counter",
    "Visits made beside a process that keeps the measuring lock for longer than is waited for it.",
)
POSTPONED: Final = Family(
    "toposcope_postponed_targets", "gauge", "Targets whose visit waits for CPUs that others keep busy."
)
PRESSURE: Final = Family(
    "toposcope_cpu_pressure_ratio",
    "gauge",
    "Share of the last 10 s in which some task waited for a CPU, as the kernel has it (PSI).",
)
FULL_LOOKS: Final = Family(
    "toposcope_full_looks", "counter", "Times that all was looked at again since a representative had moved."
)
BUDGET_LIMIT: Final = Family(
    "toposcope_budget_limit_ratio",
    "gauge",
    "Seconds that may be spent in each second: cpu is CPU time, saturation is time of disturbing others.",
    ("budget",),
)
BUDGET_SPENT: Final = Family("toposcope_budget_spent_seconds", "counter", "Time charged so far.", ("budget",))
BUDGET_BALANCE: Final = Family(
    "toposcope_budget_balance_seconds",
    "gauge",
    "Time that may be spent at once; negative while in debt.",
    ("budget",),
)
LEFT_OUT: Final = Family(
    "toposcope_series_left_out", "gauge", "Series left out to keep within a part's limit.", ("part",)
)

FIXED: Final = (
    BUILD, REPLAY, MACHINE, SETTING, SETS, CPU, NODE_MEMORY, NODE_DISTANCE, DOUBTS, VERDICT, SUCCESS,
    MODE_SHARE, TARGETS, PAIR_VERDICTS, PAIR_SUCCESS, PLACEMENT, CLAIM_VERDICT, CLAIM_RATIO, AGREEMENT,
    AGREEMENT_RATIO, DISAGREEING, DRIFTED, DRIFT_STATE, DRIFT_VARIATION, DRIFT_CHANGED, AUDIT, SELF_TEST,
    SELF_TEST_TIME, EVENTS, VISITS, FAULTS, KEPT, DROPPED, DURATION, CPU_TIME,
    PROBE_SUCCESS, PLANNED, LOCK_WAITS, LOCK_IGNORED, POSTPONED, PRESSURE, FULL_LOOKS, BUDGET_LIMIT,
    BUDGET_SPENT, BUDGET_BALANCE, LEFT_OUT,
)  # fmt: skip


def family_name(spec: ProbeSpec, measure: Measure) -> str:
    """`toposcope_cacheline_latency_seconds` for a measure of a probe."""
    stem, unit = units.split_unit(measure.name)
    if measure.family:
        stem = measure.family
    elif spec.name.endswith(stem):
        stem = spec.name
    else:
        stem = f"{spec.name}_{stem}"
    return "toposcope_" + units.prometheus_name(f"{stem}_{unit}")


def result_family(spec: ProbeSpec, measure: Measure) -> Family:
    """The family of a probe's measure; probes that name the same `family` share it."""
    return Family(family_name(spec, measure), "gauge", f"{measure.help}.", (*_TARGET, "mode", "stat"))


def pair_family(spec: ProbeSpec) -> Family:
    """The family of a pair probe's first measure between domains."""
    name = family_name(spec, spec.measures[0]).removeprefix("toposcope_")
    help_text = f"{spec.measures[0].help}, by the domains of the two CPUs."
    return Family(f"toposcope_domain_pair_{name}", "gauge", help_text, (*_PAIR, "mode", "stat"))


def probe_families() -> list[Family]:
    """The families of all probes that are installed, each once, by name."""
    found: dict[str, Family] = {}
    for spec in toposcope_probes.load_all():
        for measure in spec.measures:
            family = result_family(spec, measure)
            found.setdefault(family.stem, family)
        if spec.target is TargetKind.PAIR:
            family = pair_family(spec)
            found.setdefault(family.stem, family)
    return [found[stem] for stem in sorted(found)]
