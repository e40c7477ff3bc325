"""The dashboard "Fleet": many hosts by CPU model, those that stand out, and what changed."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Dashboard

from builder.parts import (
    GREEN,
    HOSTS,
    RED,
    YELLOW,
    Panel,
    PanelBuilder,
    Query,
    bars,
    lines,
    matrix,
    number,
    rows,
    start,
)

OK = "relation:toposcope_cacheline_latency_seconds:ok"
PEERS = "relation:toposcope_cacheline_latency:peer_ratio"
BASELINE = "relation:toposcope_cacheline_latency:baseline_ratio"
MODEL = f' * on (job, instance) group_left (cpu_model) toposcope_machine_info{{{HOSTS}, cpu_model!=""}}'
SLOW = ((None, GREEN), (1.1, YELLOW), (1.25, RED))


def dashboard() -> Dashboard:
    """The dashboard as Grafana's model."""
    made = start(
        "toposcope / Fleet",
        "toposcope-fleet",
        "Many hosts: levels by CPU model, outliers, changes. Needs the recording rules.",
        many_hosts=True,
    )
    for title, panels in (
        ("At a glance", _glance()),
        ("Levels by CPU model", _levels()),
        ("Who stands out", _outliers()),
        ("What changed", _changes()),
    ):
        made = made.with_row(build.Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made.build()


def _glance() -> list[PanelBuilder]:
    contradicted = f'toposcope_declared_agreement{{{HOSTS}, state="contradicted"}} == 1'
    stale = f"instance:toposcope_last_success_age_seconds:min{{{HOSTS}}} > 3600"
    slow = f"count by (instance) ({PEERS}{{{HOSTS}}} > 1.25)"
    bad = ((None, GREEN), (1, RED))
    counts = (
        ("Hosts", "Hosts that answer.", f"count(toposcope_build_info{{{HOSTS}}})", ()),
        ("In replay", "Hosts that replay another machine.", f"sum(toposcope_replay{{{HOSTS}}})", ()),
        (
            "Placement unstable",
            "Hosts whose CPUs a hypervisor moves.",
            f"count(toposcope_placement_stable{{{HOSTS}}} == 0) or vector(0)",
            bad,
        ),
        (
            "Topology contradicted",
            "Hosts that are not what they declare.",
            f"count(count by (instance) ({contradicted})) or vector(0)",
            bad,
        ),
        (
            "Outliers",
            "Hosts that are 1.25 times as slow as their median peer over some relation.",
            f"count({slow}) or vector(0)",
            bad,
        ),
        (
            "Stale",
            "Hosts that measure, but found nothing sound for an hour.",
            f"count({stale}) or vector(0)",
            bad,
        ),
    )
    return [
        number(Panel(title, description, "none", [Query(expr)], 4, 4, 0, steps))
        for title, description, expr, steps in counts
    ]


def _levels() -> list[PanelBuilder]:
    levels = f"quantile by (cpu_model, relation) (0.5, {OK}{{{HOSTS}}}{MODEL})"
    return [
        matrix(
            Panel(
                "A cache line by CPU model",
                "Median host of each CPU model, by relation. Only sound results.",
                "s",
                [Query(levels)],
                14,
                10,
                0,
            ),
            row="cpu_model",
            column="relation",
        ),
        bars(
            Panel(
                "Hosts by CPU model",
                "How many of each there are.",
                "none",
                [
                    Query(
                        f'count by (cpu_model) (toposcope_machine_info{{{HOSTS}, cpu_model!=""}})',
                        "{{cpu_model}}",
                    )
                ],
                10,
                10,
                0,
            )
        ),
        matrix(
            Panel(
                "CPUs and domains by model",
                "Largest host of each model, as declared.",
                "none",
                [Query(f"max by (cpu_model, level) (toposcope_topology_sets{{{HOSTS}}}{MODEL})")],
                14,
                8,
                0,
            ),
            row="cpu_model",
            column="level",
        ),
        rows(
            Panel(
                "Versions",
                "Which toposcope runs where.",
                "none",
                [Query(f"count by (version, python) (toposcope_build_info{{{HOSTS}}})")],
                10,
                8,
                0,
            ),
            {"version": "toposcope", "python": "Python", "Value": "hosts"},
        ),
    ]


def _outliers() -> list[PanelBuilder]:
    return [
        rows(
            Panel(
                "Slower than their peers",
                "Against the median host of the same CPU model, four or more of them.",
                "x",
                [Query(f"topk(20, {PEERS}{{{HOSTS}}})")],
                12,
                10,
                2,
                SLOW,
                empty="fewer than four of a model",
            ),
            {"instance": "host", "cpu_model": "CPU", "relation": "relation", "Value": "times the median"},
            hidden=("job",),
            sort="times the median",
        ),
        lines(
            Panel(
                "Against peers, over time",
                "The ten that stand out most.",
                "x",
                [Query(f"topk(10, {PEERS}{{{HOSTS}}})", "{{instance}} {{relation}}")],
                12,
                10,
                empty="fewer than four of a model",
            )
        ),
        rows(
            Panel(
                "Noisiest hosts",
                "Share of results that are noisy, unstable or failed.",
                "percentunit",
                [Query(f"topk(20, instance:toposcope_unsound_results:ratio{{{HOSTS}}})")],
                12,
                8,
                0,
                ((None, GREEN), (0.25, YELLOW), (0.5, RED)),
            ),
            {"instance": "host", "Value": "unsound"},
            hidden=("job",),
            sort="unsound",
        ),
        rows(
            Panel(
                "Remote memory",
                "Remote against local memory latency.",
                "x",
                [Query(f"topk(20, instance:toposcope_remote_memory:ratio{{{HOSTS}}})")],
                12,
                8,
                2,
                ((None, GREEN), (2.5, RED)),
                empty="one node each, or not measured",
            ),
            {"instance": "host", "Value": "remote / local"},
            hidden=("job",),
            sort="remote / local",
        ),
    ]


def _changes() -> list[PanelBuilder]:
    return [
        lines(
            Panel(
                "Against the week before",
                "The ten that changed most, as a ratio of their own baseline.",
                "x",
                [Query(f"topk(10, {BASELINE}{{{HOSTS}}})", "{{instance}} {{relation}}")],
                12,
                9,
                empty="no history yet",
            )
        ),
        lines(
            Panel(
                "Events",
                "What the daemons noticed, by kind.",
                "none",
                [
                    Query(
                        f"sum by (kind) (increase(toposcope_events_total{{{HOSTS}}}[$__rate_interval]))",
                        "{{kind}}",
                    )
                ],
                12,
                9,
            )
        ),
    ]
