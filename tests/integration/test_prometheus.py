"""A real Prometheus scrapes replays and a live daemon; every panel and alert of ours must find data in it."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import threading
import time
from pathlib import Path

import msgspec
import pytest
import yaml

from generators import replays
from generators.views import full_view, replayed_view
from integration.prometheus_server import Target, daemon, prometheus, served_views, wait_until
from toposcope.matrix import format_csv
from toposcope.results import Visit
from toposcope.topology.document import to_document

pytestmark = pytest.mark.timeout(600)  # the first test waits for all that is scraped
ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))
}
QUERIES = [
    pytest.param(name, target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", ())
]
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "prometheus/rules/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
HOSTS = ("live", "two-socket", "big", "full")
REPLAYS = ("two-socket", "big")
SCRAPED_FOR_S = 150  # as long as an operator looks at first: what fails or goes stale after a while shows
SCRAPE_INTERVAL_S = 1
PEERS = 3  # beside each replayed host, of its CPU model; a comparison takes four
# What a replay has none of, by design, as the beginnings of names; tests hold that it really has none of it, and
# that it lacks nothing else.
NOT_IN_REPLAY = {
    "toposcope_placement_stable": "a matrix of one time can't tell",
    "toposcope_claim_ratio": "no claim was tested",
    "toposcope_drifted_groups": "nothing is visited again",
    "toposcope_audit_findings": "the processes of this host are none of that one",
    "toposcope_advice_self_test_regret_ratio": "nothing can be tried",
    "toposcope_probe_last_success_timestamp_seconds": "nothing has a time",
    "instance:toposcope_last_success_age_seconds:min": "nothing has a time",
    "toposcope_probe_faults_total": "no program is started",
    "toposcope_memory_latency": "a matrix of CPUs says nothing of memory",
    "toposcope_memory_bandwidth": "a matrix of CPUs says nothing of memory",
    "instance:toposcope_budget_used:ratio10m": "nothing may be spent, and nothing is",
    "instance:toposcope_remote_memory:ratio": "a matrix of CPUs says nothing of memory",
}
# Ratios of what was done: nothing was, in a replay.
DIVIDES_BY_VISITS = re.compile(r"/ \(sum by \(probe\) \(rate\(toposcope_probe_(visits|batches)")
# What this machine may lack: several nodes, peers, four CPUs, results that are `ok` (a hypervisor moves CPUs),
# and what takes longer than a test: enough visits for claims and placement, drift baselines, a fault.
MAYBE_NOT_LIVE = re.compile(
    r"placement_stable|claim_ratio|declared_agreement|drifted|self_test|remote_memory|peer_ratio|baseline_ratio|"
    r"declared_node_distance|probe_faults|memory_latency|memory_bandwidth|model_relation|:ok\b|/ \(sum by"
)


def write_replay(directory: Path, name: str, model: replays.Model) -> list[str]:
    topology, matrix = directory / f"{name}.json", directory / f"{name}.csv"
    topology.write_bytes(msgspec.json.encode(to_document(replays.machine(model))))
    matrix.write_text(format_csv(replays.matrix(model)))
    return ["--topology", str(topology), "--matrix", str(matrix)]


@contextlib.contextmanager
def busy(view):
    """Let a view count a visit now and then, as a daemon at work would."""
    done = threading.Event()

    def work():
        while not done.wait(0.3):
            visit = Visit(time.time(), 0.01, "ok", "", {}, 200, {"context_switch": 1})
            view.count("cacheline_cas", visit, cpu_s=0.002, fault="")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("prometheus")
    live_config = {"probes": {"budget_ratio": 0.5}, "audit": {"enabled": True, "interval_s": 10}}
    history = {f'relation:toposcope_cacheline_latency_seconds:ok{{job="toposcope",instance="{host}",relation="{relation}"}}': 4e-8
               for host in HOSTS for relation in ("smt", "l3", "node", "die", "package", "cross_package")}  # fmt: skip
    full = full_view()
    peers = {f"peer of {model.name} {seed}": (model, seed)
             for model in (replays.TWO_SOCKETS, replays.BIG_384) for seed in range(1, PEERS + 1)}  # fmt: skip
    peers = {name.replace(" ", "-"): of for name, of in peers.items()}
    with (
        busy(full),
        daemon(directory, "two-socket", *write_replay(directory, "two", replays.TWO_SOCKETS)) as two,
        daemon(directory, "big", *write_replay(directory, "big", replays.BIG_384)) as big,
        daemon(directory, "live", config=live_config) as live,
        served_views(
            {
                "full": full,
                **{name: replayed_view(model, seed=seed) for name, (model, seed) in peers.items()},
            }
        ) as views,
    ):
        targets = [Target("two-socket", two), Target("big", big), Target("live", live)]
        targets += [Target(name, views, f"/{name}/metrics") for name in ("full", *peers)]
        with prometheus(directory, targets, interval_s=SCRAPE_INTERVAL_S, history=history) as running:
            expr = 'count(count_over_time(toposcope_cacheline_latency_seconds{stat="estimate"}[1m])) by (instance)'
            wait_until(lambda: len(running.query(expr)) == len(targets), 60, "data of every host")
            time.sleep(SCRAPED_FOR_S)
            yield running


def on(expr: str, instance: str) -> str:
    """The panel's expression as Grafana would send it with this host chosen."""
    expr = expr.replace("$job", "toposcope").replace("$instance", instance)
    return expr.replace("$__rate_interval", "30s")


def lacks_by_design(expr: str) -> bool:
    return any(name in expr for name in NOT_IN_REPLAY) or DIVIDES_BY_VISITS.search(expr) is not None


@pytest.mark.parametrize(("dashboard", "expr"), QUERIES)
def test_every_panel_finds_data(server, dashboard, expr):
    assert server.has_data(on(expr, "full")), "not even a host that has everything has data"
    for host in REPLAYS:
        assert server.has_data(on(expr, host)) or lacks_by_design(expr), f"no data in replay of {host}"
    assert server.has_data(on(expr, "live")) or MAYBE_NOT_LIVE.search(expr), "no data on this machine"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_rests_on_data(server, alert):
    """An alert that is silent gives no series: what it looks at has to be there."""
    server.query(alert["expr"])  # parses and evaluates
    selectors = re.findall(r"(?:\b[a-z_]+:)?\b(?:toposcope_[\w:]+|up)\b(?:\{[^{}]*\})?", alert["expr"])
    assert selectors
    for selector in selectors:
        of = functools.partial(on_host, selector)
        assert server.has_data(of("full")), f"nothing has {selector}"
        for host in REPLAYS:
            assert server.has_data(of(host)) or lacks_by_design(selector), f"{host} has no {selector}"
        assert server.has_data(of("live")) or MAYBE_NOT_LIVE.search(selector), f"live has no {selector}"


def on_host(selector: str, host: str) -> str:
    """The series of a selector on one host."""
    name, _, matchers = selector.partition("{")
    given = [matchers.rstrip("}")] if matchers else []
    matchers = ", ".join([*given, f'instance="{host}"'])
    return f"{name}{{{matchers}}}"


@pytest.mark.parametrize("name", NOT_IN_REPLAY)
def test_what_a_replay_has_none_of_it_really_has_none_of(server, name):
    every = f'{{__name__=~"{name}.*", instance='
    assert server.has_data(f'{every}"full"}}'), "then it is no name of ours"
    for host in REPLAYS:
        assert not server.has_data(f'{every}"{host}"}}')


def test_every_rule_evaluates_without_complaint(server):
    rules = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > len(ALERTS)
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_no_scrape_failed_in_all_that_time(server):
    hosts = server.query(f"min_over_time(up[{SCRAPED_FOR_S}s])")
    assert {host["metric"]["instance"] for host in hosts} >= set(HOSTS)
    assert [host["metric"]["instance"] for host in hosts if host["value"][1] != "1"] == []
    counts = server.query(f"count_over_time(up[{SCRAPED_FOR_S}s])")
    assert all(float(host["value"][1]) > SCRAPED_FOR_S / SCRAPE_INTERVAL_S / 2 for host in counts)


def test_what_was_scraped_is_what_was_replayed(server):
    matrix = replays.matrix(replays.TWO_SOCKETS)
    cross = sorted(matrix.value(cpu, other) for cpu in range(8) for other in range(8, 16))
    (sample,) = server.query(
        'toposcope_cacheline_latency_seconds{instance="two-socket", relation="cross_package", stat="estimate"}'
    )
    assert cross[0] * 1e-9 < float(sample["value"][1]) < cross[-1] * 1e-9
    assert server.query('toposcope_machine_info{instance="two-socket", mode="replay"}')
    assert server.query('toposcope_machine_info{instance="live", mode="live"}')


def test_the_live_daemon_measured(server):
    (sample,) = server.query('sum(toposcope_probe_visits_total{instance="live"})')
    assert float(sample["value"][1]) > 0


def test_the_big_host_stays_within_its_series(server):
    for name, limit in (("scrape_samples_scraped", 1_500), ("scrape_samples_post_metric_relabeling", 1_500)):
        (sample,) = server.query(f'{name}{{instance="big"}}')
        assert float(sample["value"][1]) <= limit
