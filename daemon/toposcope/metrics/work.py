"""What measuring did and cost, as parts: visits, drops, durations, budgets, events."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import toposcope_probes
from toposcope.metrics import catalogue
from toposcope.metrics.family import Part, Samples
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


def work_parts(view: View) -> Iterator[Part]:
    """What the daemon did since its start: a part a probe, one of events, one of the whole."""
    names = {spec.name for spec in toposcope_probes.load_all() if not spec.on_request_only}
    for probe in sorted(names | view.counts.keys()):
        counts = view.counts.get(probe, ProbeCounts()).copy()
        yield Part(("counts", probe), counts, functools.partial(_add_counts, probe, counts))
    kinds = dict.fromkeys((*_EVENT_KINDS, *sorted(view.event_counts)))
    events = tuple(
        (kind, view.event_counts.get(kind, 0)) for kind in list(kinds)[: catalogue.EVENT_KINDS_MAX]
    )
    yield Part("events", events, functools.partial(_add_events, events))
    # `set_status` puts a new document in place of the old one, which nobody changes.
    yield Part("status", view.status, functools.partial(_add_status, view.status))


def _add_counts(probe: str, counts: ProbeCounts, samples: Samples) -> None:
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


def _add_events(events: Sequence[tuple[str, int]], samples: Samples) -> None:
    for kind, count in events:
        samples.add(catalogue.EVENTS, count, kind=kind)


def _add_status(status: Mapping[str, Any], samples: Samples) -> None:
    samples.add(catalogue.PLANNED, status.get("tasks", 0))
    samples.add(catalogue.LOCK_WAITS, status.get("lock_waits", 0))
    samples.add(catalogue.LOCK_IGNORED, status.get("lock_ignored", 0))
    samples.add(catalogue.POSTPONED, status.get("postponed", 0))
    samples.add(catalogue.FULL_LOOKS, status.get("full_looks", 0))
    if (pressure := status.get("cpu_pressure_ratio")) is not None:
        samples.add(catalogue.PRESSURE, pressure)
    for name, numbers in status.get("budget", {}).items():
        samples.add(catalogue.BUDGET_LIMIT, numbers["ratio"], budget=name)
        samples.add(catalogue.BUDGET_SPENT, numbers["spent_s"], budget=name)
        samples.add(catalogue.BUDGET_BALANCE, numbers["balance_s"], budget=name)
