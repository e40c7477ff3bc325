"""Dashboards: fresh, valid, and by the rules of Grafana's dashboard linter (restated here; it needs a newer Go)."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from toposcope.metrics import catalogue

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = {
    path.name: json.loads(path.read_text()) for path in sorted((ROOT / "grafana/dashboards").glob("*.json"))
}
PANELS = [
    pytest.param(name, panel, id=f"{name.removesuffix('.json')}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
# Units of Grafana that a panel may have, and the metric suffixes that go with them.
UNITS = {"s", "bytes", "Bps", "percentunit", "none", "x", "ops"}


def expressions(panel):
    return [target["expr"] for target in panel["targets"]]


def test_the_json_is_fresh():
    pytest.importorskip(
        "grafana_foundation_sdk", reason="grafana-foundation-sdk (extra: dev) is not installed"
    )
    spec = importlib.util.spec_from_file_location("generate_dashboards", ROOT / "grafana/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.documents()
    assert made.keys() == DASHBOARDS.keys()
    for name, text in made.items():
        assert (ROOT / "grafana/dashboards" / name).read_text() == text, "run: python grafana/generate.py"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_the_usual_variables(name):
    dashboard = DASHBOARDS[name]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for each in ("job", "instance"):
        assert variables[each]["query"].startswith("label_values(toposcope_build_info")
        assert variables[each]["datasource"]["uid"] == "${datasource}"
        assert variables[each]["refresh"] == 2  # when the time range changes
    assert dashboard["uid"] == f"toposcope-{name.removesuffix('.json')}"
    assert dashboard["editable"] is False
    assert len({panel["title"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_panel_is_complete(name, panel):
    assert panel["title"][0].isupper()
    assert panel["description"].endswith(".")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["fieldConfig"]["defaults"]["noValue"]
    assert panel["targets"]
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_query_keeps_to_the_rules(name, panel):
    known = {family.name for family in (*catalogue.FIXED, *catalogue.probe_families())}
    for expr in expressions(panel):
        selectors = re.findall(r"\{[^{}]*\}", expr)
        assert selectors
        for selector in selectors:
            assert 'job=~"$job"' in selector
            assert 'instance=~"$instance"' in selector
        assert re.findall(r"(?:rate|increase)\([^()]*\[", expr) == re.findall(
            r"(?:rate|increase)\([^()]*\[(?=\$__rate_interval\])", expr
        )
        raw = set(re.findall(r"(?<![:\w])toposcope_\w+(?![\w:.])", expr))
        assert raw <= known, f"no such metric: {raw - known}"
        for counter in (metric for metric in raw if metric.endswith("_total")):
            assert re.search(rf"(rate|increase)\({counter}", expr), f"{counter} is shown raw"


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_unit_fits_its_metrics(name, panel):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for expr in expressions(panel):
        plain = re.fullmatch(
            r"(?:max by [^(]*\([^()]*\) \(|sum by [^(]*\([^()]*\) \()?(toposcope_\w+)\{[^{}]*\}\)?", expr
        )
        if plain and plain[1].endswith("_seconds"):
            assert unit == "s"
        if plain and plain[1].endswith("_bytes"):
            assert unit == "bytes"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name):
    taken = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def through_grafanas_types(document):
    """The document as the types that are generated from Grafana's schema read and write it."""
    pytest.importorskip(
        "grafana_foundation_sdk", reason="grafana-foundation-sdk (extra: dev) is not installed"
    )
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(document)))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafanas_types_know_every_field(name):
    document = DASHBOARDS[name]
    assert through_grafanas_types(copy.deepcopy(document)) == document


@pytest.mark.parametrize("place", ["options", "fieldConfig", "targets"])
def test_grafanas_types_would_not_keep_a_field_of_ours(place):
    document = copy.deepcopy(DASHBOARDS["host.json"])
    panel = next(panel for panel in document["panels"] if panel["type"] == "timeseries")
    strange = {"options": panel["options"], "fieldConfig": panel["fieldConfig"]["defaults"]["custom"],
               "targets": panel["targets"][0]}[place]  # fmt: skip
    strange["noSuchField"] = 1
    assert through_grafanas_types(copy.deepcopy(document)) != document


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafanas_own_schema_has_no_complaint(name):
    path = os.environ.get("TOPOSCOPE_GRAFANA_SCHEMA")
    if not path:
        pytest.skip(
            "TOPOSCOPE_GRAFANA_SCHEMA doesn't name grafana-foundation-sdk's dashboard.jsonschema.json"
        )
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(Path(path).read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(DASHBOARDS[name])] == []


def test_provisioning_and_compose_fit_together():
    compose = yaml.safe_load((ROOT / "deploy/docker-compose.yaml").read_text())
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/toposcope.yaml").read_text())[
        "providers"
    ][0]
    mounts = [volume.split(":") for service in compose["services"].values() for volume in service["volumes"]]
    for source, *_ in mounts:
        assert not source.startswith(".") or (ROOT / "deploy" / source).resolve().is_dir()
    assert provider["options"]["path"] in [target for _, target, *_ in mounts]
    assert set(compose["volumes"]) == {source for source, *_ in mounts if not source.startswith(".")}
