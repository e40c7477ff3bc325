"""Which hosts there are, and what a cache line costs on each by relation.

Asks for the daemons' own metrics, not for recorded rules, so that it works with any server that scrapes them.
Only results with the verdict `ok` are used: one line by compare-and-swap, threads; of several homes the
dearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from toposcope.errors import DaemonError
from toposcope.fleet.client import Client, Series

# What a host says counts for as long as this after it was last scraped.
_LOOKBACK: Final = "10m"
_CAS: Final = 'probe="cacheline_cas", model="thread"'


@dataclass(frozen=True, slots=True)
class Level:
    """What a cache line costs over one relation, with its 95 % interval, in ns."""

    estimate_ns: float
    low_ns: float
    high_ns: float


@dataclass(frozen=True, slots=True)
class Host:
    """One scraped daemon. `cpu_model` is "" where the machine doesn't tell."""

    instance: str
    job: str
    cpu_model: str
    fingerprint: str
    mode: str
    levels: Mapping[str, Level]


def load_hosts(client: Client, select: str = "", *, at_s: float | None = None) -> list[Host]:
    """All hosts, by name. `select` are further label matchers. Raises DaemonError where there are none."""
    found = client.query(f"last_over_time(toposcope_machine_info{{{select}}}[{_LOOKBACK}])", at_s=at_s)
    if not found and at_s is None:
        raise DaemonError(
            "the server knows no host with toposcope's metrics", "does it scrape them, and is --select right?"
        )
    levels = _load_levels(client, select, at_s)
    hosts = {}
    for series in found:
        labels = series.metric
        key = (labels.get("job", ""), labels.get("instance", ""))
        hosts[key] = Host(
            instance=key[1],
            job=key[0],
            cpu_model=labels.get("cpu_model", ""),
            fingerprint=labels.get("fingerprint", ""),
            mode=labels.get("mode", ""),
            levels=levels.get(key, {}),
        )
    return [hosts[key] for key in sorted(hosts)]


def _load_levels(client: Client, select: str, at_s: float | None) -> dict[tuple[str, str], dict[str, Level]]:
    matchers = ", ".join(part for part in (_CAS, select) if part)
    stat = 'stat=~"estimate|low|high"'
    expr = f"""max by (job, instance, relation, stat) (
        last_over_time(toposcope_cacheline_latency_seconds{{{matchers}, {stat}}}[{_LOOKBACK}])
        and on (job, instance, probe, model, variant, relation)
        (last_over_time(toposcope_result_verdict{{{matchers}, verdict="ok"}}[{_LOOKBACK}]) == 1))"""
    stats: dict[tuple[str, str, str], dict[str, float]] = {}
    for series in client.query(expr, at_s=at_s):
        labels = series.metric
        key = (labels.get("job", ""), labels.get("instance", ""), labels.get("relation", ""))
        stats.setdefault(key, {})[labels.get("stat", "")] = series.number * 1e9
    levels: dict[tuple[str, str], dict[str, Level]] = {}
    for (job, instance, relation), values in stats.items():
        if values.keys() >= {"estimate", "low", "high"}:
            level = Level(values["estimate"], values["low"], values["high"])
            levels.setdefault((job, instance), {})[relation] = level
    return levels


@dataclass(frozen=True, slots=True)
class Shape:
    """A host's CPUs as its metrics describe them, and costs between L3 domains in ns (named by first CPU)."""

    cpus: tuple[Mapping[str, str], ...]
    domain_pairs_ns: Mapping[tuple[int, int], float]


def load_shapes(client: Client, select: str = "") -> dict[tuple[str, str], Shape]:
    """The shape of each host, by (job, instance)."""
    cpus: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for series in client.query(f"last_over_time(toposcope_cpu_info{{{select}}}[{_LOOKBACK}])"):
        cpus.setdefault(_key(series), []).append(series.metric)
    matchers = ", ".join(part for part in (_CAS, 'level="l3", stat="estimate"', select) if part)
    expr = f"""max by (job, instance, domain, other_domain) (
        last_over_time(toposcope_domain_pair_cacheline_latency_seconds{{{matchers}}}[{_LOOKBACK}]))"""
    pairs: dict[tuple[str, str], dict[tuple[int, int], float]] = {}
    for series in client.query(expr):
        ends = (int(series.metric["domain"]), int(series.metric["other_domain"]))
        pairs.setdefault(_key(series), {})[ends] = series.number * 1e9
    return {key: Shape(tuple(each), pairs.get(key, {})) for key, each in cpus.items()}


def _key(series: Series) -> tuple[str, str]:
    return series.metric.get("job", ""), series.metric.get("instance", "")
