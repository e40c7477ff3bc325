"""What measuring did and cost, as samples: visits, drops, durations, budgets, events."""

from __future__ import annotations

from typing import Final

import toposcope_probes
from toposcope.metrics import catalogue
from toposcope.metrics.family import Samples
from toposcope.results import VERDICTS
from toposcope.view import ProbeCounts, View

# Counters exist from the start, at 0: `increase()` doesn't see the step from absent to 1.
_EVENT_KINDS: Final = (
    "topology_changed",
    "drift",
    "baseline_reset",
    "declared_contradicted",
    "peers_disagree",
    "config_reloaded",
    "config_refused",
    "store_damaged",
)
_DROP_REASONS: Final = ("context_switch", "migration")


def add_work(samples: Samples, view: View) -> None:
    """Add what the daemon did since its start."""
    names = {spec.name for spec in toposcope_probes.load_all() if not spec.on_request_only}
    for probe in sorted(names | view.counts.keys()):
        _add_counts(samples, probe, view.counts.get(probe, ProbeCounts()))
    _add_events(samples, view)
    samples.add(catalogue.PLANNED, view.status.get("tasks", 0))
    samples.add(catalogue.LOCK_WAITS, view.status.get("lock_waits", 0))
    for name, numbers in view.status.get("budget", {}).items():
        samples.add(catalogue.BUDGET_LIMIT, numbers["ratio"], budget=name)
        samples.add(catalogue.BUDGET_SPENT, numbers["spent_s"], budget=name)
        samples.add(catalogue.BUDGET_BALANCE, numbers["balance_s"], budget=name)


def _add_counts(samples: Samples, probe: str, counts: ProbeCounts) -> None:
    for verdict in VERDICTS:
        samples.add(catalogue.VISITS, counts.visits_by_verdict.get(verdict, 0), probe=probe, verdict=verdict)
    for reason, count in sorted(counts.faults.items()):
        samples.add(catalogue.FAULTS, count, probe=probe, reason=reason)
    samples.add(catalogue.KEPT, counts.batches_kept, probe=probe)
    for reason in sorted({*_DROP_REASONS, *counts.batches_dropped}):
        dropped = counts.batches_dropped.get(reason, 0)
        samples.add(catalogue.DROPPED, dropped, probe=probe, reason=reason)
    samples.add(catalogue.DURATION, counts.duration_s, probe=probe)
    samples.add(catalogue.CPU_TIME, counts.cpu_s, probe=probe)
    if counts.last_success_time_s is not None:
        samples.add(catalogue.PROBE_SUCCESS, counts.last_success_time_s, probe=probe)


def _add_events(samples: Samples, view: View) -> None:
    kinds = dict.fromkeys((*_EVENT_KINDS, *sorted(view.event_counts)))
    for kind in list(kinds)[: catalogue.EVENT_KINDS_MAX]:
        samples.add(catalogue.EVENTS, view.event_counts.get(kind, 0), kind=kind)
