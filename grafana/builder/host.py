"""The dashboard "Host": what one machine is, what sharing costs on it, and what was concluded."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Dashboard

from builder import host_details
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

CAS = f'{HOSTS}, probe="cacheline_cas", model="thread"'


def dashboard() -> Dashboard:
    """The dashboard as Grafana's model."""
    made = start(
        "toposcope / Host",
        "toposcope-host",
        "One machine: its topology, what sharing costs on it, what was concluded.",
        many_hosts=False,
    )
    for title, panels in (
        ("At a glance", _glance()),
        ("What a shared cache line costs", [*_sharing(), *_models_and_verdicts()]),
        ("Domains", _domains()),
        ("Memory", host_details.memory()),
        ("What was concluded", host_details.claims()),
        ("What changed", host_details.changes()),
        ("Topology", host_details.topology()),
    ):
        made = made.with_row(build.Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made.build()


def _glance() -> list[PanelBuilder]:
    placement = {"0": ("unstable", RED), "1": ("stable", GREEN)}
    return [
        number(
            Panel(
                "CPU",
                "What the machine calls its CPUs.",
                "none",
                [Query(f"toposcope_machine_info{{{HOSTS}}}", "{{cpu_model}}")],
                6,
                4,
            ),
            text=True,
        ),
        number(
            Panel(
                "Source",
                "live: measured on this host. replay: another machine's numbers, nothing measured.",
                "none",
                [Query(f"toposcope_replay{{{HOSTS}}}")],
                3,
                4,
                words={"0": ("live", GREEN), "1": ("replay", YELLOW)},
            )
        ),
        number(
            Panel(
                "Placement",
                "Whether CPUs stay where they are, or a hypervisor moves them.",
                "none",
                [Query(f"toposcope_placement_stable{{{HOSTS}}}")],
                3,
                4,
                words=placement,
                empty="unknown",
            )
        ),
        number(
            Panel(
                "Online",
                "How many of each the OS declares.",
                "none",
                [Query(f"toposcope_topology_sets{{{HOSTS}}}", "{{level}}")],
                8,
                4,
                0,
            )
        ),
        number(
            Panel(
                "Unsound results",
                "Share of results that are noisy, unstable or failed.",
                "percentunit",
                [
                    Query(
                        f'sum(toposcope_result_verdict{{{HOSTS}, verdict=~"noisy|unstable|failed"}})'
                        f' / sum(toposcope_result_verdict{{{HOSTS}, verdict!="not_applicable"}})'
                    )
                ],
                4,
                4,
                0,
                ((None, GREEN), (0.25, YELLOW), (0.5, RED)),
            )
        ),
    ]


def _sharing() -> list[PanelBuilder]:
    latency = f'toposcope_cacheline_latency_seconds{{{CAS}, stat="%s"}}'
    return [
        bars(
            Panel(
                "By relation",
                "One line by compare-and-swap, one way, threads. One bar a mode and home.",
                "s",
                [Query(latency % "estimate", "{{relation}} {{variant}} {{mode}}")],
                8,
                9,
            )
        ),
        lines(
            Panel(
                "By relation, over time",
                "The same estimates; a step is a change of the machine or of where its CPUs lie.",
                "s",
                [Query(latency % "estimate", "{{relation}} {{variant}} {{mode}}")],
                8,
                9,
            ),
            log=True,
        ),
        lines(
            Panel(
                "Interval and tail, widest relation",
                "Estimate with its 95 % interval, and the 90th percentile of the batches.",
                "s",
                [
                    Query(
                        f'topk by (stat) (1, toposcope_cacheline_latency_seconds{{{CAS}, stat=~"{stat}"}})',
                        stat,
                    )
                    for stat in ("low", "estimate", "high", "p90")
                ],
                8,
                9,
            )
        ),
    ]


def _models_and_verdicts() -> list[PanelBuilder]:
    return [
        lines(
            Panel(
                "Threads and processes, all operations",
                "By probe and model: compare-and-swap moves a line once, a hand-over twice.",
                "s",
                [
                    Query(
                        f"max by (probe, model, relation) (toposcope_cacheline_latency_seconds{{{HOSTS},"
                        ' stat="estimate"})',
                        "{{probe}} {{model}} {{relation}}",
                    )
                ],
                12,
                9,
            ),
            log=True,
        ),
        rows(
            Panel(
                "Verdicts",
                "How far each group of results can be trusted; targets is how many pairs or sets are"
                " behind it.",
                "none",
                [
                    Query(
                        f"toposcope_result_targets{{{HOSTS}}}"
                        " * on (instance, job, probe, model, variant, relation,"
                        " core_set, cpu_node, node, interpreter) group_left (verdict)"
                        f" (toposcope_result_verdict{{{HOSTS}}} == 1)"
                    )
                ],
                12,
                9,
                0,
            ),
            {
                "probe": "probe",
                "model": "model",
                "variant": "variant",
                "relation": "relation",
                "core_set": "core set",
                "verdict": "verdict",
                "Value": "targets",
            },
            hidden=("instance", "job"),
        ),
    ]


def _domains() -> list[PanelBuilder]:
    family = "toposcope_domain_pair_cacheline_latency_seconds"
    pair = f'max by (domain, other_domain) ({family}{{{CAS}, stat="estimate",'
    return [
        matrix(
            Panel(
                "L3 domains",
                "A cache line between L3 domains, each named by its first CPU.",
                "s",
                [Query(pair + ' level="l3"})')],
                14,
                14,
                0,
            ),
            row="domain",
            column="other_domain",
        ),
        matrix(
            Panel(
                "Nodes", "A cache line between NUMA nodes.", "s", [Query(pair + ' level="node"})')], 10, 8, 0
            ),
            row="domain",
            column="other_domain",
        ),
        rows(
            Panel(
                "Pairs of domains by verdict",
                "How many pairs have a value; the others have none, for the reason given.",
                "none",
                [Query(f"sum by (level, verdict) (toposcope_domain_pairs{{{CAS}}})")],
                10,
                6,
                0,
            ),
            {"level": "level", "verdict": "verdict", "Value": "pairs"},
        ),
    ]
