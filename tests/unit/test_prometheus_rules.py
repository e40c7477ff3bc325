"""Alerts and recording rules: valid, tested both ways, explained, and about metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from toposcope.metrics import catalogue

PROMETHEUS = Path(__file__).resolve().parents[2] / "prometheus"
RUNBOOKS = PROMETHEUS.parent / "docs/runbooks"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yaml"))
RULES = [
    rule
    for path in RULE_FILES
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = [rule for rule in RULES if "record" in rule]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed"
)


def promtool(*arguments: str, cwd: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@needs_promtool
def test_the_configuration_and_its_rules_are_valid():
    checked = promtool("check", "config", "prometheus.yaml")
    assert checked.returncode == 0, checked.stderr
    checked = promtool("check", "rules", *(f"rules/{path.name}" for path in RULE_FILES))
    assert checked.returncode == 0, checked.stderr


def test_no_host_can_exceed_the_scrapes_sample_limit():
    """A scrape beyond its limit is dropped whole. Beside the limited parts there are a few thousand samples."""
    most = (catalogue.RESULT_SERIES_MAX + catalogue.DOMAIN_PAIR_SERIES_MAX + catalogue.CPU_SERIES_MAX
            + catalogue.DISTANCE_SERIES_MAX + 3_000)  # fmt: skip
    (scrape,) = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())["scrape_configs"]
    monitor = PROMETHEUS.parent / "deploy/kubernetes/overlays/prometheus-operator/servicemonitor.yaml"
    assert scrape["sample_limit"] >= most
    assert yaml.safe_load(monitor.read_text())["spec"]["sampleLimit"] >= most


@needs_promtool
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_alerts_fire_and_stay_silent(path):
    tested = promtool("test", "rules", path.name, cwd=path.parent)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_is_tested_both_ways_and_explained(rule):
    name = rule["alert"]
    cases = [case["name"] for path in TEST_FILES for case in yaml.safe_load(path.read_text())["tests"]]
    assert f"{name} fires" in cases
    assert f"{name} is silent" in cases
    assert rule["labels"]["severity"] in ("info", "warning")
    assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()
    assert rule["annotations"]["runbook_url"].endswith(f"docs/runbooks/{name}.md")
    text = (RUNBOOKS / f"{name}.md").read_text()
    sections = [line for line in text.splitlines() if line.startswith("#")]
    assert sections == [f"# {name}", "## Impact", "## Look", "## Do", "## When it means nothing"]


def test_no_runbook_is_left_over():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_are_about_metrics_that_exist(rule):
    known = {family.name for family in (*catalogue.FIXED, *catalogue.probe_families())}
    known |= {rule["record"] for rule in RECORDS} | {"up"}
    used = set(re.findall(r"(?:\b[a-z_]+:)?toposcope_\w+(?::\w+)?", rule["expr"]))
    assert used <= known, f"unknown: {used - known}"
    assert used or "up{" in rule["expr"]
