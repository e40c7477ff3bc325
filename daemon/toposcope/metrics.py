"""The view as Prometheus metrics; the only place where metric names and labels are formed.

Names follow the Prometheus naming practices: base units, `_total` on counters only, `_info` for facts as
labels. Rendered bytes are kept until the view changes, so a scrape costs a look-up and never measures.
"""

from __future__ import annotations

import gzip
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

import toposcope_probes
from toposcope import __version__, units
from toposcope.groups import Group
from toposcope.results import VERDICTS, Estimate
from toposcope.view import View
from toposcope_probes.contract import Measure, ProbeSpec

OPENMETRICS_CONTENT_TYPE: Final = openmetrics.CONTENT_TYPE_LATEST
TEXT_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Beyond this many series of results the rest is left out and counted, whatever a machine looks like.
RESULT_SERIES_MAX: Final = 5_000

_TARGET_LABELS: Final = (
    "probe",
    "model",
    "variant",
    "relation",
    "core_set",
    "cpu_node",
    "node",
    "interpreter",
)
_MODE_LABELS: Final = (*_TARGET_LABELS, "mode", "stat")
# line_spread is an interval's companion for people who look into one result: it is in the API.
_STATS: Final = ("estimate", "min", "median", "p90", "low", "high")


class ViewCollector(Collector):
    """All metrics of one view, made anew at every collection."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        """Every metric family; the order is the one in the documents."""
        groups = self._view.groups()
        yield from _about_us(self._view)
        yield from _topology(self._view)
        yield from _results(groups)
        yield from _verdicts(groups)
        yield from _placement(self._view)
        yield from _work(self._view)
        yield from _budget(self._view)


def _about_us(view: View) -> Iterator[Metric]:
    info = InfoMetricFamily("toposcope_build", "Version of toposcope and of its interpreter.")
    info.add_metric([], {"version": __version__, "python": platform.python_version()})
    yield info
    mode = GaugeMetricFamily(
        "toposcope_replay", "1 where the daemon replays another machine and measures nothing, else 0."
    )
    mode.add_metric([], float(view.mode == "replay"))
    yield mode


def _topology(view: View) -> Iterator[Metric]:
    machine = view.machine
    info = InfoMetricFamily(
        "toposcope_machine", "What the machine is; the fingerprint changes with its topology."
    )
    settings = {name: value for name, value in machine.settings if value is not None}
    wanted = ("cpu_model", "hypervisor", "architecture")
    facts: dict[str, str] = {name: settings[name] for name in wanted if name in settings}
    info.add_metric([], {"fingerprint": view.fingerprint, "mode": view.mode, **facts})
    yield info
    counts = GaugeMetricFamily(
        "toposcope_topology_sets", "How many of each there are, online, as declared.", labels=["level"]
    )
    levels = {"package": machine.packages, "die": machine.dies, "cluster": machine.clusters,
              "l3": machine.cache_partition(3), "core": machine.cores}  # fmt: skip
    for level, partition in levels.items():
        if partition is not None:
            counts.add_metric([level], len(partition))
    counts.add_metric(["node"], len(machine.numa_nodes))
    counts.add_metric(["cpu"], len(machine.online_cpus))
    yield counts


def _results(groups: Iterable[Group]) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    left_out = series = 0
    for group in groups:
        spec = toposcope_probes.find(group.key.probe)
        if spec is None:
            continue
        for measure, samples in _samples(spec, group):
            if series + len(samples) > RESULT_SERIES_MAX:
                left_out += len(samples)
                continue
            series += len(samples)
            name = family_name(spec, measure)
            if name not in families:
                families[name] = GaugeMetricFamily(name, measure.help, labels=_MODE_LABELS)
            for sample in samples:
                labels = [*_target_labels(group), sample.mode, sample.stat]
                families[name].add_metric(labels, units.to_base(measure.name, sample.value))
    yield from families.values()
    dropped = GaugeMetricFamily(
        "toposcope_result_series_dropped", "Series left out to keep within the limit."
    )
    dropped.add_metric([], left_out)
    yield dropped


@dataclass(frozen=True, slots=True)
class _Sample:
    mode: str
    stat: str
    value: float


def _samples(spec: ProbeSpec, group: Group) -> Iterator[tuple[Measure, list[_Sample]]]:
    """The samples of each measure: one set for each mode, and never a pooled value of several modes."""
    for measure in spec.measures:
        if group.modes and measure.name == group.key.measure:
            values = [(str(index), mode.value) for index, mode in enumerate(group.modes)]
        elif measure.name in group.estimates:
            values = [("0", group.estimates[measure.name])]
        else:
            continue
        yield (
            measure,
            [_Sample(mode, stat, _stat(estimate, stat)) for mode, estimate in values for stat in _STATS],
        )


def _stat(estimate: Estimate, stat: str) -> float:
    return float(getattr(estimate, stat))


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


def _target_labels(group: Group) -> list[str]:
    key = group.key
    variant = dict(key.variant)
    model = variant.pop("model", "")
    rest = ",".join(f"{name}={value}" for name, value in variant.items())
    optional = (key.relation, key.core_set, key.cpu_node, key.node, key.interpreter)
    return [key.probe, model, rest, *("" if value is None else str(value) for value in optional)]


def _verdicts(groups: Iterable[Group]) -> Iterator[Metric]:
    verdict = GaugeMetricFamily(
        "toposcope_result_verdict",
        "1 for the verdict in force, 0 for the others.",
        labels=[*_TARGET_LABELS, "verdict"],
    )
    success = GaugeMetricFamily(
        "toposcope_result_last_success_timestamp_seconds",
        "When a sound visit was last made, in seconds since the epoch.",
        labels=_TARGET_LABELS,
    )
    shares = GaugeMetricFamily(
        "toposcope_result_mode_share_ratio", "Share of visits in each mode.", labels=[*_TARGET_LABELS, "mode"]
    )
    for group in groups:
        labels = _target_labels(group)
        for name in VERDICTS:
            verdict.add_metric([*labels, name], float(group.verdict == name))
        if group.last_success_time_s is not None:
            success.add_metric(labels, group.last_success_time_s)
        for index, mode in enumerate(group.modes):
            shares.add_metric([*labels, str(index)], mode.share)
    yield from (verdict, success, shares)


def _placement(view: View) -> Iterator[Metric]:
    stable = GaugeMetricFamily(
        "toposcope_placement_stable",
        "1 where CPUs stay where they are, 0 where a hypervisor moves them; absent while unknown.",
    )
    if view.placement != "unknown":
        stable.add_metric([], float(view.placement == "stable"))
    yield stable


def _work(view: View) -> Iterator[Metric]:
    visits = CounterMetricFamily("toposcope_probe_visits", "Visits made.", labels=["probe", "verdict"])
    faults = CounterMetricFamily(
        "toposcope_probe_faults", "Programs that failed.", labels=["probe", "reason"]
    )
    kept = CounterMetricFamily("toposcope_probe_batches_kept", "Batches used.", labels=["probe"])
    dropped = CounterMetricFamily(
        "toposcope_probe_batches_dropped", "Batches dropped, by reason.", labels=["probe", "reason"]
    )
    duration = CounterMetricFamily(
        "toposcope_probe_duration_seconds", "Time from exec to reap of all visits.", labels=["probe"]
    )
    cpu = CounterMetricFamily("toposcope_probe_cpu_seconds", "CPU time of all visits.", labels=["probe"])
    for probe, counts in sorted(view.counts.items()):
        for verdict, count in sorted(counts.visits_by_verdict.items()):
            visits.add_metric([probe, verdict], count)
        for reason, count in sorted(counts.faults.items()):
            faults.add_metric([probe, reason], count)
        kept.add_metric([probe], counts.batches_kept)
        for reason, count in sorted(counts.batches_dropped.items()):
            dropped.add_metric([probe, reason], count)
        duration.add_metric([probe], counts.duration_s)
        cpu.add_metric([probe], counts.cpu_s)
    yield from (visits, faults, kept, dropped, duration, cpu)


def _budget(view: View) -> Iterator[Metric]:
    budget = view.status.get("budget")
    if not budget:
        return
    limit = GaugeMetricFamily("toposcope_budget_limit_ratio", "CPU time allowed, in CPUs.", labels=["budget"])
    spent = CounterMetricFamily("toposcope_budget_spent_seconds", "Time charged so far.", labels=["budget"])
    for name, numbers in budget.items():
        limit.add_metric([name], numbers["ratio"])
        spent.add_metric([name], numbers["spent_s"])
    yield from (limit, spent)


class Rendered:
    """The metrics as bytes, in each form once, until the view's version changes."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ViewCollector(view))
        self._version = -1
        self._bytes: dict[tuple[bool, bool], bytes] = {}

    def get(self, *, as_openmetrics: bool, gzipped: bool) -> bytes:
        """The metrics in the text format of Prometheus or of OpenMetrics, gzipped or not."""
        if self._version != self._view.version:
            self._version = self._view.version
            self._bytes.clear()
        key = (as_openmetrics, gzipped)
        if key not in self._bytes:
            self._bytes[key] = self._render(as_openmetrics, gzipped)
        return self._bytes[key]

    def _render(self, as_openmetrics: bool, gzipped: bool) -> bytes:
        if gzipped:
            return gzip.compress(self.get(as_openmetrics=as_openmetrics, gzipped=False), compresslevel=1)
        text = openmetrics.generate_latest if as_openmetrics else generate_latest
        return bytes(text(self._registry))
