"""What the packages and units say, held against the project that they ship."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import toposcope_probes

_PROJECT = Path(__file__).resolve().parents[2]
_UNIT = _PROJECT / "systemd" / "toposcope.service"
_DROP_INS = sorted((_PROJECT / "systemd" / "drop-ins").glob("*.conf"))
_SCRIPTS = sorted((_PROJECT / "packaging" / "scripts").iterdir())


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned_with_hashes_in_a_version_that_is_asked_for() -> None:
    text = (_PROJECT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", "\n".join(line for line in text.splitlines() if line[:1] != "#"))
    pinned = {}
    for entry in entries:
        name, version = re.match(r"\s*([A-Za-z0-9_.-]+)==([0-9][^\s;]*)", entry).groups()  # type: ignore[union-attr]
        assert "--hash=sha256:" in entry, name
        pinned[_canonical(name)] = version
    wanted = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in wanted:
        name, least = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)", requirement).groups()  # type: ignore[union-attr]
        numbers = [int(part) for part in re.findall(r"\d+", pinned[_canonical(name)])]
        assert numbers >= [int(part) for part in least.split(".")], requirement


def test_the_packages_bring_what_is_there_and_the_config_is_one_that_upgrades_keep() -> None:
    recipe = yaml.safe_load((_PROJECT / "packaging" / "nfpm.yaml").read_text())
    for content in recipe["contents"]:
        if content.get("type") in ("symlink", "tree", "dir"):
            continue
        assert list(_PROJECT.glob(content["src"])), content["src"]
    by_target = {content["dst"]: content for content in recipe["contents"]}
    assert by_target["/etc/toposcope/config.yaml"]["type"] == "config|noreplace"
    for script in recipe["scripts"].values():
        assert os.access(_PROJECT / script, os.X_OK), script


def test_the_unit_starts_what_the_packages_install() -> None:
    recipe = yaml.safe_load((_PROJECT / "packaging" / "nfpm.yaml").read_text())
    targets = {content["dst"] for content in recipe["contents"]}
    command = re.search(r"^ExecStart=(.*)$", _UNIT.read_text(), re.MULTILINE).group(1).split()  # type: ignore[union-attr]
    assert command[0] in targets
    assert command[command.index("--config") + 1] in targets


def test_the_unit_allows_what_the_widest_probe_needs() -> None:
    """A server with a thread and a file for each connection of `python_io`."""
    limits = dict(re.findall(r"^(TasksMax|LimitNPROC|LimitNOFILE)=(\d+)$", _UNIT.read_text(), re.MULTILINE))
    spec = toposcope_probes.find("python_io")
    assert spec is not None
    most = max(map(int, spec.variants["connections"]))
    assert {name: int(value) > most + 1000 for name, value in limits.items()} == {
        "TasksMax": True, "LimitNPROC": True, "LimitNOFILE": True}  # fmt: skip


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "argument", ["configure", "1", "2", "remove", "upgrade", "0", "abort-upgrade", "failed-upgrade"]
)
def test_maintainer_scripts_succeed_where_no_systemd_runs(script: Path, argument: str) -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("a systemd runs here, which the scripts would talk to")
    subprocess.run(["sh", str(script), argument], check=True, capture_output=True)


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda path: path.name)
def test_maintainer_scripts_touch_the_service_when_they_should(script: Path, tmp_path: Path) -> None:
    """With a systemctl that only notes what it was asked, and systemd's folder taken for there."""
    noted = tmp_path / "noted"
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$*" >> {noted}\n')
    (tmp_path / "systemctl").chmod(0o755)
    changed = tmp_path / "script"
    changed.write_text(
        script.read_text().replace("/run/systemd/system", str(tmp_path)).replace("/var/lib", str(tmp_path))
    )
    expected = {
        "postinstall": {"configure": ["daemon-reload", "enable toposcope.service", "start toposcope.service"],
                        "configure 0.1": ["daemon-reload", "try-restart toposcope.service"],
                        "1": ["daemon-reload", "enable toposcope.service", "start toposcope.service"],
                        "2": ["daemon-reload", "try-restart toposcope.service"]},
        "preremove": {"remove": ["disable --now toposcope.socket toposcope.service"], "upgrade 0.2": [],
                      "0": ["disable --now toposcope.socket toposcope.service"], "1": []},
        "postremove": {"remove": ["daemon-reload"], "upgrade 0.2": ["daemon-reload"], "0": ["daemon-reload"]},
    }  # fmt: skip
    for arguments, wanted in expected[script.name].items():
        noted.write_text("")
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run(["sh", str(changed), *arguments.split()], check=True, env=environment)
        assert noted.read_text().splitlines() == wanted, arguments


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("drop_in", [None, *_DROP_INS], ids=lambda path: path.name if path else "none")
def test_the_exposure_is_what_is_said(drop_in: Path | None, tmp_path: Path) -> None:
    unit = tmp_path / "toposcope.service"
    said = "1.4"
    text = _UNIT.read_text()
    if drop_in is not None:
        text += "\n" + drop_in.read_text()
        assert "Buys:" in text
        said = re.search(r"\((1\.\d)\)|stays at (1\.\d)", drop_in.read_text()).group(0).strip("()")[-3:]  # type: ignore[union-attr]
    unit.write_text(text)
    answer = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"Overall exposure level for toposcope.service: {said}" in answer.stdout, answer.stderr
    table = (_PROJECT / "docs" / "security.md").read_text()
    assert drop_in is None or re.search(rf"`{drop_in.name}` \|.*\| {re.escape(said)} \|", table)
