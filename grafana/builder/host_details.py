"""The second half of the dashboard "Host": memory, what was concluded, and the topology in detail."""

from __future__ import annotations

from builder.parts import (
    GREEN,
    GREY,
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
)

BAD_IS_RED = ((None, GREEN), (1, RED))


def memory() -> list[PanelBuilder]:
    """Nodes against nodes: latency, bandwidth, what firmware declares."""
    latency = f'max by (cpu_node, node) (toposcope_memory_latency_seconds{{{HOSTS}, stat="estimate"}})'
    bandwidth = (
        f'max by (cpu_node, node) ({{__name__=~"toposcope_memory_bandwidth.*_bytes_per_second", {HOSTS},'
    )
    return [
        matrix(
            Panel(
                "Memory latency",
                "From a CPU's node (down) to the memory's node (across), largest working set.",
                "s",
                [Query(latency)],
                8,
                8,
                0,
                empty="not measured",
            ),
            row="cpu_node",
            column="node",
        ),
        matrix(
            Panel(
                "Memory bandwidth",
                "From a CPU's node (down) to the memory's node (across), best core set.",
                "Bps",
                [Query(bandwidth + ' stat="estimate"})')],
                8,
                8,
                1,
                empty="not measured",
            ),
            row="cpu_node",
            column="node",
        ),
        matrix(
            Panel(
                "Declared distance",
                "What firmware says (SLIT, 10 is local). A declaration, not a measurement.",
                "none",
                [Query(f"max by (node, other_node) (toposcope_declared_node_distance{{{HOSTS}}})")],
                8,
                8,
                0,
                empty="not declared",
            ),
            row="node",
            column="other_node",
        ),
    ]


def claims() -> list[PanelBuilder]:
    """The claims, and whether the machine is what it declares."""
    return [
        rows(
            Panel(
                "Claims",
                "The sentences people believe, as this host answers them.",
                "none",
                [Query(f"toposcope_claim_verdict{{{HOSTS}}} == 1")],
                9,
                9,
                0,
                empty="not judged yet",
            ),
            {"claim": "claim", "verdict": "verdict"},
            hidden=("instance", "job", "Value"),
        ),
        bars(
            Panel(
                "Claims: ratios",
                "How many times, with nothing where no ratio makes sense.",
                "x",
                [Query(f'toposcope_claim_ratio{{{HOSTS}, stat="estimate"}}', "{{claim}}")],
                8,
                9,
                empty="not judged yet",
            )
        ),
        rows(
            Panel(
                "Declared against measured",
                "Whether latencies agree with what the OS declares.",
                "none",
                [Query(f"toposcope_declared_agreement{{{HOSTS}}} == 1")],
                7,
                9,
                0,
                empty="not judged yet",
            ),
            {"relation": "relation", "state": "state"},
            hidden=("instance", "job", "Value"),
        ),
    ]


def changes() -> list[PanelBuilder]:
    """Drift, audit and the advice's own test."""
    ratio = "relation:toposcope_cacheline_latency:baseline_ratio"
    return [
        lines(
            Panel(
                "Against the week before",
                "Sharing cost by relation as a ratio of its baseline; needs the"
                " recording rules and a day of history.",
                "x",
                [Query(f"{ratio}{{{HOSTS}}}", "{{relation}}")],
                8,
                8,
                empty="no history yet",
            )
        ),
        lines(
            Panel(
                "Drift and events",
                "Results outside their baseline, and what the daemon noticed.",
                "none",
                [
                    Query(f"toposcope_drifted_groups{{{HOSTS}}}", "drifted {{relation}}"),
                    Query(f"increase(toposcope_events_total{{{HOSTS}}}[$__rate_interval])", "{{kind}}"),
                ],
                8,
                8,
            )
        ),
        number(
            Panel(
                "Audit",
                "Findings: what is placed or set against what was measured.",
                "none",
                [Query(f"toposcope_audit_findings{{{HOSTS}}}", "{{check}}")],
                4,
                8,
                0,
                BAD_IS_RED,
                empty="not audited yet",
            )
        ),
        number(
            Panel(
                "Advice self-test",
                "How much worse the advised placement was than the best one tried.",
                "percentunit",
                [Query(f"toposcope_advice_self_test_regret_ratio{{{HOSTS}}}")],
                4,
                8,
                0,
                ((None, GREEN), (0.05, YELLOW), (0.1, RED)),
                empty="not tested yet",
            )
        ),
    ]


def topology() -> list[PanelBuilder]:
    """CPUs, settings, doubts."""
    settings = {
        "frequency_governor": "governor",
        "turbo": "turbo",
        "thp": "huge pages",
        "numa_balancing": "NUMA balancing",
        "smt_control": "SMT",
        "clocksource": "clock",
    }
    return [
        rows(
            Panel(
                "CPUs",
                "Where each CPU lies. Cores and L3 domains are named by their first CPU.",
                "none",
                [Query(f"toposcope_cpu_info{{{HOSTS}}}")],
                10,
                10,
                0,
            ),
            {"cpu": "CPU", "core": "core", "l3": "L3", "node": "node", "package": "package"},
            hidden=("instance", "job", "Value"),
        ),
        rows(
            Panel(
                "Settings",
                "Settings that change what a measurement means; toposcope reports them and sets none.",
                "none",
                [Query(f"toposcope_setting_info{{{HOSTS}}}")],
                10,
                5,
                0,
            ),
            settings,
            hidden=("instance", "job", "Value"),
        ),
        number(
            Panel(
                "Doubts",
                "Contradictions met while reading the topology; the API lists them.",
                "none",
                [Query(f"toposcope_topology_doubts{{{HOSTS}}}")],
                4,
                5,
                0,
                BAD_IS_RED,
            )
        ),
        bars(
            Panel(
                "Memory of nodes",
                "As declared.",
                "bytes",
                [Query(f"toposcope_node_memory_bytes{{{HOSTS}}}", "node {{node}}")],
                14,
                5,
                steps=((None, GREY),),
            )
        ),
    ]
