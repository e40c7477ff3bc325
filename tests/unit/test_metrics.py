"""The metrics: names that never change by accident, formats that parse, limits that hold."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import gzip
import re
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import toposcope_probes
from generators import replays
from generators.views import full_view
from toposcope.clock import ManualClock
from toposcope.groups import Group, GroupKey
from toposcope.judgements import ClaimStanding, Judgements
from toposcope.metrics import Rendered, catalogue, document
from toposcope.metrics.collect import collect, parts
from toposcope.metrics.family import Family, Samples
from toposcope.metrics.rendered import Exposition
from toposcope.results import Estimate, Identity, Mode, Target, Visit
from toposcope.topology.fingerprint import fingerprint
from toposcope.view import View

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden_metrics.txt")


def estimate(value: float) -> Estimate:
    return Estimate(value, value * 0.9, value, value * 1.1, value * 0.98, value * 1.02, 1.0)


def replayed(model=replays.BIG_384) -> View:
    machine = replays.machine(model)
    return View(machine, fingerprint(machine), mode="replay", matrix=replays.matrix(model))


@functools.cache
def big() -> View:
    return replayed()


def live(values=(26.0,) * 12) -> View:
    machine = replays.machine(replays.TWO_SOCKETS)
    view = View(machine, fingerprint(machine))
    identity = Identity(
        "cacheline_cas", Target((0, 8)), {"model": "thread", "home": "first"}, "cross_package"
    )
    for index, value in enumerate(values):
        visit = Visit(1_800_000_000.0 + index, 0.01, "ok", "", {"latency_ns": estimate(value)}, 200,
                      {"context_switch": 3})  # fmt: skip
        view.add(identity, "latency_ns", visit)
        view.count("cacheline_cas", visit, cpu_s=0.02, fault="")
    return view


def get(rendered: Rendered, *, as_openmetrics: bool = False, gzipped: bool = False) -> bytes:
    return asyncio.run(rendered.get(as_openmetrics=as_openmetrics, gzipped=gzipped))


def samples_of(view: View, *, as_openmetrics: bool = False) -> dict[str, list]:
    text = get(Rendered(view), as_openmetrics=as_openmetrics).decode()
    parse = parse_openmetrics if as_openmetrics else parse_text
    found: dict[str, list] = {}
    for family in parse(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def lines(families):
    return {f"{family.name} {family.kind} {','.join(family.labels)}" for family in families}


def test_names_and_labels_are_the_golden_ones():
    """A golden line that is gone breaks people's dashboards and alerts: write it into CHANGELOG as breaking.

    A new probe needs no line (no list is edited for it); docs/metrics.md shows it.
    """
    golden = set(GOLDEN.read_text().splitlines())
    now = lines([*catalogue.FIXED, *catalogue.probe_families()])
    assert not golden - now, "metrics were renamed, relabelled or removed"
    assert not lines(catalogue.FIXED) - golden, "a new metric: add it to tests/unit/golden_metrics.txt"


def test_the_page_about_metrics_is_fresh():
    assert (ROOT / "docs/metrics.md").read_text() == document.document(), (
        "run: python -m toposcope.metrics.document > docs/metrics.md"
    )


@pytest.mark.parametrize("family", [*catalogue.FIXED, *catalogue.probe_families()], ids=lambda f: f.name)
def test_names_keep_to_the_naming_practices(family):
    assert re.fullmatch(r"toposcope(_[a-z0-9]+)+", family.name)
    assert not re.search(r"_(ns|us|ms|s|percent|count|sum|bucket|milliseconds|nanoseconds)$", family.name)
    assert family.help.endswith(".")
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in family.labels)
    assert not {"instance", "job", "host", "hostname", "le", "quantile"} & set(family.labels)


@pytest.mark.parametrize("view", [big(), live(), live((9.0, 109.0) * 10)], ids=["replay", "live", "unstable"])
def test_both_formats_parse_and_agree(view):
    text, openmetrics = samples_of(view), samples_of(view, as_openmetrics=True)
    assert text.keys() == openmetrics.keys()
    assert {name: len(found) for name, found in text.items()} == {n: len(f) for n, f in openmetrics.items()}
    compressed = get(Rendered(view), as_openmetrics=True, gzipped=True)
    assert gzip.decompress(compressed) == get(Rendered(view), as_openmetrics=True)


def test_a_latency_is_in_seconds_with_its_labels():
    (sample,) = [s for s in samples_of(live())["toposcope_cacheline_latency_seconds"]
                 if s.labels["stat"] == "estimate"]  # fmt: skip
    assert sample.value == pytest.approx(26e-9)
    assert sample.labels == {"probe": "cacheline_cas", "model": "thread", "variant": "home=first", "mode": "0",
                             "relation": "cross_package", "stat": "estimate"}  # fmt: skip


def test_an_unstable_result_has_its_modes_in_order_and_no_pooled_value():
    found = samples_of(live((9.0, 109.0) * 10))
    values = {s.labels["mode"]: s.value for s in found["toposcope_cacheline_latency_seconds"]
              if s.labels["stat"] == "estimate"}  # fmt: skip
    assert values == {"0": pytest.approx(9e-9), "1": pytest.approx(109e-9)}
    verdicts = {s.labels["verdict"]: s.value for s in found["toposcope_result_verdict"]}
    assert verdicts == {"unstable": 1, "ok": 0, "noisy": 0, "failed": 0, "not_applicable": 0}
    assert found["toposcope_placement_stable"][0].value == 0


@pytest.mark.parametrize("verdict", ["failed", "not_applicable"])
def test_without_a_value_there_is_still_a_verdict(verdict):
    machine = replays.machine(replays.TWO_SOCKETS)
    view = View(machine, fingerprint(machine))
    identity = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "package")
    view.add(identity, "latency_ns", Visit(1.8e9, 0.01, verdict, "because", {}))
    found = samples_of(view)
    assert "toposcope_cacheline_latency_seconds" not in found
    assert {s.labels["verdict"] for s in found["toposcope_result_verdict"] if s.value} == {verdict}
    pairs = [s for s in found["toposcope_domain_pairs"] if s.labels["level"] == "node"]
    assert [(s.labels["verdict"], s.value) for s in pairs] == [(verdict, 1)]


def test_a_replay_says_so_and_has_no_times():
    found = samples_of(big())
    assert found["toposcope_replay"][0].value == 1
    assert found["toposcope_machine_info"][0].labels["mode"] == "replay"
    assert not [name for name in found if name.endswith("timestamp_seconds")]


def test_a_384_cpu_replay_is_small():
    text = get(Rendered(big())).decode()
    series = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(series) <= 1_500
    assert len(text.encode()) <= 300_000
    left_out = [line for line in series if line.startswith("toposcope_series_left_out")]
    assert all(line.endswith(" 0.0") for line in left_out)


def test_limits_leave_out_and_count():
    machine = replays.machine(
        dataclasses.replace(replays.TWO_SOCKETS, l3_domains_per_package=80, cores_per_l3=4)
    )
    view = View(machine, "0" * 16, mode="replay")

    class Crowded(View):
        def groups(self):
            keys = [GroupKey("cacheline_cas", "latency_ns", (("home", str(n)),), "smt", None, None, None, None)
                    for n in range(2_000)]  # fmt: skip
            return tuple(Group(key, "ok", {"latency_ns": estimate(5)}, (), 1, None) for key in keys)

    crowded = Crowded(view.machine, view.fingerprint)
    found = samples_of(crowded)
    left_out = {s.labels["part"]: s.value for s in found["toposcope_series_left_out"]}
    of_results = (
        "toposcope_cacheline_latency_seconds",
        "toposcope_result_verdict",
        "toposcope_result_targets",
    )
    shown = sum(len(found[name]) for name in of_results)
    assert catalogue.RESULT_SERIES_MAX - 10 < shown <= catalogue.RESULT_SERIES_MAX
    assert shown + left_out["results"] >= 2_000 * (5 + 1)
    assert len(found["toposcope_cpu_info"]) + left_out["cpus"] == len(machine.online_cpus)
    assert left_out["cpus"] == 2 * 80 * 4 * 2 - catalogue.CPU_SERIES_MAX


def test_domain_pairs_of_a_many_domain_machine_stay_within_their_limit():
    model = dataclasses.replace(replays.TWO_SOCKETS, l3_domains_per_package=40, cores_per_l3=1)
    found = samples_of(replayed(model))
    l3 = [s for s in found["toposcope_domain_pair_cacheline_latency_seconds"] if s.labels["level"] == "l3"]
    left_out = {s.labels["part"]: s.value for s in found["toposcope_series_left_out"]}
    assert len(l3) <= catalogue.DOMAIN_PAIR_SERIES_MAX < 80 * 81 // 2
    assert len(l3) + left_out["domain_pairs"] >= 80 * 81 // 2
    counted = [s.value for s in found["toposcope_domain_pairs"] if s.labels["level"] == "l3"]
    assert sum(counted) == 80 * 81 // 2


def test_judgements_are_exported():
    view = live()
    view.set_judgements(Judgements(
        claims=(ClaimStanding("thread_create_cheaper", "confirmed", 7.0, (6.0, 8.0)),
                ClaimStanding("native_code_escapes_gil", "not_applicable")),
        agreement={"l3": "contradicted"}, drifted={"cross_package": 2}, audit_findings={"irq_on_measured_cpu": 1},
        self_test_regret_ratio=0.02, self_test_time_s=1.8e9,
    ))  # fmt: skip
    found = samples_of(view)
    verdicts = {(s.labels["claim"], s.labels["verdict"]) for s in found["toposcope_claim_verdict"] if s.value}
    assert verdicts == {("thread_create_cheaper", "confirmed"), ("native_code_escapes_gil", "not_applicable")}
    assert {s.labels["stat"]: s.value for s in found["toposcope_claim_ratio"]} == {
        "estimate": 7,
        "low": 6,
        "high": 8,
    }
    assert {s.labels["state"] for s in found["toposcope_declared_agreement"] if s.value} == {"contradicted"}
    assert found["toposcope_drifted_groups"][0].value == 2
    assert found["toposcope_audit_findings"][0].labels == {"check": "irq_on_measured_cpu"}


def test_agreement_and_watched_groups_are_exported_as_numbers():
    found = samples_of(full_view())
    ratios = {s.labels["relation"]: s.value for s in found["toposcope_declared_agreement_ratio"]}
    assert ratios == {"l3": 0.99, "package": 0.6}
    disagreeing = {s.labels["relation"]: s.value for s in found["toposcope_declared_disagreeing_cpus"]}
    assert disagreeing == {"l3": 0, "package": 2}
    states = {(s.labels["probe"], s.labels["state"]) for s in found["toposcope_drift_group_state"] if s.value}
    assert states == {("cacheline_cas", "stable"), ("memory_latency", "learning")}
    (variation,) = found["toposcope_drift_group_variation_ratio"]
    labels = {"probe": "cacheline_cas", "model": "thread", "variant": "home=first", "relation": "l3"}
    assert (variation.labels, variation.value) == (labels, 0.02)
    (changed,) = found["toposcope_drift_group_last_change_timestamp_seconds"]
    assert changed.labels == labels


def test_counters_exist_before_they_count():
    found = samples_of(View(replays.machine(replays.TWO_SOCKETS), "0"))
    probes = {spec.name for spec in toposcope_probes.load_all() if not spec.on_request_only}
    assert {s.labels["probe"] for s in found["toposcope_probe_visits_total"]} == probes
    assert all(s.value == 0 for s in found["toposcope_events_total"])


def test_events_are_counted_and_their_kinds_limited():
    view = live()
    view.count_event("topology_changed")
    for number in range(100):
        view.count_event(f"kind{number}")
    found = samples_of(view)["toposcope_events_total"]
    assert len(found) == catalogue.EVENT_KINDS_MAX
    assert {s.labels["kind"]: s.value for s in found}["topology_changed"] == 1


def test_bytes_are_kept_until_the_view_changes():
    view, clock = live(), ManualClock(monotonic_s=0.0)
    rendered = Rendered(view, clock.monotonic_s)
    first = get(rendered, gzipped=True)
    clock.advance(60)
    assert get(rendered, gzipped=True) is first
    view.count_event("drift")
    assert get(rendered, gzipped=True) != first


@pytest.mark.parametrize("as_openmetrics", [True, False])
def test_the_text_is_the_librarys_part_by_part_or_at_once(as_openmetrics):
    view = full_view()
    generate = openmetrics.generate_latest if as_openmetrics else generate_latest
    exposition = Exposition(as_openmetrics=as_openmetrics)
    for result in (None, *view.results[:3]):
        if result is not None:
            measures = {name: estimate(77.0) for name in result.measures}
            view.add(result.identity, result.primary, Visit(1.8e9, 0.01, "ok", "", measures, 200))
        list(exposition.update(parts(view)))
        whole = collect(view).metrics()
        assert exposition.body() == generate(SimpleNamespace(collect=lambda whole=whole: whole))


def test_after_a_visit_only_what_it_changed_is_written(monkeypatch):
    view = full_view()
    rendered = Rendered(view)
    written = []

    def noted(add):
        return lambda samples: (add(samples), written.append(samples.count))

    monkeypatch.setattr(
        "toposcope.metrics.rendered.parts",
        lambda view: [dataclasses.replace(part, add=noted(part.add)) for part in parts(view)],
    )
    get(rendered)
    everything = sum(written)
    written.clear()
    result = view.results[0]
    visit = Visit(1.8e9, 0.01, "ok", "", result.measures, 200)
    view.add(result.identity, result.primary, visit)
    view.count(result.identity.probe, visit, cpu_s=0.01, fault="")
    time.sleep(0.3)  # past the shortest time between two renderings
    get(rendered)
    assert 0 < sum(written) < everything / 20


def test_rendering_lets_others_have_their_turn():
    async def turns_while_rendering() -> int:
        rendering = asyncio.ensure_future(Rendered(full_view()).get(as_openmetrics=True, gzipped=True))
        turns = 0
        while not rendering.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(turns_while_rendering()) > 10


def test_a_view_that_keeps_changing_is_rendered_a_few_times_a_second():
    view, clock = live(), ManualClock()
    rendered = Rendered(view, clock.monotonic_s)
    seen = set()
    for _ in range(100):
        view.count_event("drift")
        seen.add(get(rendered))
        clock.advance(0.01)
    assert 2 <= len(seen) <= 5


def test_an_undeclared_label_is_a_mistake():
    with pytest.raises(AssertionError, match="no label"):
        Samples().add(Family("toposcope_x", "gauge", "X.", ("a",)), 1, b="2")


def test_every_sample_belongs_to_the_catalogue():
    known = {family.stem for family in (*catalogue.FIXED, *catalogue.probe_families())}
    for view in (big(), live()):
        assert {metric.name for metric in collect(view).metrics()} <= known


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize("view", [big(), live((9.0, 109.0) * 10)], ids=["replay", "unstable"])
def test_promtool_has_no_complaint(view):
    text = get(Rendered(view))
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_modes_of_a_group_have_shares():
    mode = Mode(estimate(5), 0.25, 3, 1.8e9)
    key = GroupKey("cacheline_cas", "latency_ns", (), "smt", None, None, None, None)

    class Moody(View):
        def groups(self):
            return (Group(key, "unstable", {}, (mode, mode), 1, None),)

    found = samples_of(Moody(replays.machine(replays.TWO_SOCKETS), "0"))
    assert [s.value for s in found["toposcope_result_mode_share_ratio"]] == [0.25, 0.25]


@pytest.mark.parametrize("value", ['a"b', "back\\slash", "two\nlines", "ünïcode ☃", "{x=1}", "trailing\\"])
def test_label_values_are_escaped(value):
    machine = dataclasses.replace(replays.machine(replays.TWO_SOCKETS), settings=(("cpu_model", value),))
    for as_openmetrics in (True, False):
        found = samples_of(View(machine, "0"), as_openmetrics=as_openmetrics)
        assert found["toposcope_machine_info"][0].labels["cpu_model"] == value
