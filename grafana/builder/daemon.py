"""The dashboard "Daemon": what measuring does and costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Dashboard

from builder.parts import GREEN, HOSTS, RED, YELLOW, Panel, PanelBuilder, Query, lines, number, rows, start

RATE = "[$__rate_interval]"


def dashboard() -> Dashboard:
    """The dashboard as Grafana's model."""
    made = start(
        "toposcope / Daemon",
        "toposcope-daemon",
        "What measuring does and costs: budget, visits, drops.",
        many_hosts=True,
    )
    for title, panels in (
        ("Budget", [*_budget(), *_costs()]),
        ("Visits", [*_visits(), *_losses()]),
        ("Health", _health()),
    ):
        made = made.with_row(build.Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made.build()


def _budget() -> list[PanelBuilder]:
    return [
        lines(
            Panel(
                "Spent against allowed",
                "CPU time of measuring in CPUs, and its limit.",
                "percentunit",
                [
                    Query(
                        f'rate(toposcope_budget_spent_seconds_total{{{HOSTS}, budget="cpu"}}{RATE})',
                        "{{instance}}",
                    ),
                    Query(f'max(toposcope_budget_limit_ratio{{{HOSTS}, budget="cpu"}})', "limit"),
                ],
                8,
            )
        ),
        lines(
            Panel(
                "Disturbing others",
                "Share of time in which a memory node was saturated or a shared cache"
                " evicted, and its limit.",
                "percentunit",
                [
                    Query(
                        f'rate(toposcope_budget_spent_seconds_total{{{HOSTS}, budget="saturation"}}{RATE})',
                        "{{instance}}",
                    ),
                    Query(f'max(toposcope_budget_limit_ratio{{{HOSTS}, budget="saturation"}})', "limit"),
                ],
                8,
            )
        ),
        lines(
            Panel(
                "Balance",
                "What may be spent at once; negative while in debt.",
                "s",
                [Query(f"toposcope_budget_balance_seconds{{{HOSTS}}}", "{{instance}} {{budget}}")],
                8,
            )
        ),
    ]


def _costs() -> list[PanelBuilder]:
    return [
        lines(
            Panel(
                "CPU time by probe",
                "In CPUs, all hosts together.",
                "percentunit",
                [
                    Query(
                        f"sum by (probe) (rate(toposcope_probe_cpu_seconds_total{{{HOSTS}}}{RATE}))",
                        "{{probe}}",
                    )
                ],
                12,
            ),
            stacked=True,
        ),
        lines(
            Panel(
                "Time of a visit",
                "From exec to reap, mean by probe.",
                "s",
                [
                    Query(
                        f"sum by (probe) (rate(toposcope_probe_duration_seconds_total{{{HOSTS}}}{RATE}))"
                        f" / (sum by (probe) (rate(toposcope_probe_visits_total{{{HOSTS}}}{RATE})) > 0)",
                        "{{probe}}",
                    )
                ],
                12,
                empty="no visits in this time",
            ),
            log=True,
        ),
    ]


def _visits() -> list[PanelBuilder]:
    dropped = f"sum by (reason) (rate(toposcope_probe_batches_dropped_total{{{HOSTS}}}{RATE}))"
    return [
        lines(
            Panel(
                "Visits by verdict",
                "All probes together.",
                "ops",
                [
                    Query(
                        f"sum by (verdict) (rate(toposcope_probe_visits_total{{{HOSTS}}}{RATE}))",
                        "{{verdict}}",
                    )
                ],
                8,
            ),
            stacked=True,
        ),
        lines(
            Panel(
                "Visits by probe",
                "All verdicts together.",
                "ops",
                [Query(f"sum by (probe) (rate(toposcope_probe_visits_total{{{HOSTS}}}{RATE}))", "{{probe}}")],
                8,
            ),
            stacked=True,
        ),
        lines(
            Panel(
                "Batches dropped",
                "By reason: a context switch or a migration spoils a batch.",
                "ops",
                [Query(dropped, "{{reason}}")],
                8,
            )
        ),
    ]


def _losses() -> list[PanelBuilder]:
    return [
        lines(
            Panel(
                "Share of batches dropped",
                "By probe.",
                "percentunit",
                [
                    Query(
                        f"sum by (probe) (rate(toposcope_probe_batches_dropped_total{{{HOSTS}}}{RATE})) / ("
                        f"sum by (probe) (rate(toposcope_probe_batches_dropped_total{{{HOSTS}}}{RATE}))"
                        f" + sum by (probe) (rate(toposcope_probe_batches_kept_total{{{HOSTS}}}{RATE})) > 0)",
                        "{{probe}}",
                    )
                ],
                12,
                empty="no visits in this time",
            )
        ),
        lines(
            Panel(
                "Faults",
                "Programs that crashed, hung or were killed.",
                "ops",
                [
                    Query(
                        f"sum by (probe, reason) (rate(toposcope_probe_faults_total{{{HOSTS}}}{RATE}))"
                        f" or on () sum(0 * toposcope_planned_targets{{{HOSTS}}})",
                        "{{probe}} {{reason}}",
                    )
                ],
                12,
            )
        ),
    ]


def _health() -> list[PanelBuilder]:
    age = f"time() - max by (probe) (toposcope_probe_last_success_timestamp_seconds{{{HOSTS}}})"
    return [
        rows(
            Panel(
                "Age of the newest sound visit",
                "By probe, on the host where it is newest.",
                "s",
                [Query(age)],
                8,
                9,
                0,
                ((None, GREEN), (3600, YELLOW), (86_400, RED)),
                empty="nothing measured (replay?)",
            ),
            {"probe": "probe", "Value": "age"},
            sort="age",
        ),
        number(
            Panel(
                "Planned targets",
                "What is measured again and again.",
                "none",
                [Query(f"sum(toposcope_planned_targets{{{HOSTS}}})")],
                4,
                9,
                0,
            )
        ),
        lines(
            Panel(
                "Waited for another measurer",
                "Times that the machine-wide lock was taken, and visits made beside a process that keeps it.",
                "none",
                [
                    Query(f"increase(toposcope_measuring_lock_waits_total{{{HOSTS}}}{RATE})", "{{instance}}"),
                    Query(
                        f"increase(toposcope_measuring_lock_ignored_total{{{HOSTS}}}{RATE})",
                        "{{instance}}: not waited",
                    ),
                ],
                6,
                9,
            )
        ),
        number(
            Panel(
                "Series left out",
                "What does not fit into the limits, by part.",
                "none",
                [Query(f"sum by (part) (toposcope_series_left_out{{{HOSTS}}})", "{{part}}")],
                6,
                9,
                0,
                ((None, GREEN), (1, YELLOW)),
            )
        ),
    ]
