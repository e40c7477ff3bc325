"""A daemon measures the report when it is asked to, outside its budget, and ends at once all the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import psutil
import pytest

from integration.daemon_process import DaemonProcess

pytestmark = pytest.mark.live


def test_a_report_on_request_is_measured_and_says_that_it_is_outside_the_budget(tmp_path: Path) -> None:
    settings = {"web": {"enable_lifecycle": True}, "probes": {"enabled": False}}
    with DaemonProcess(tmp_path, settings) as daemon:
        assert not daemon.json("/api/v1/report")["measured"]
        status, body = daemon.get("/api/v1/report", method="POST")
        assert status == 202
        asked = msgspec.json.decode(body)["report"]
        assert asked["state"] == "asked"
        assert asked["outside_budget"] is True
        daemon.wait_for(
            "/api/v1/results", lambda found: any(each["probe"] == "spawn" for each in found["results"])
        )
        assert "outside probes.budget_ratio" in daemon.log()
        assert daemon.json("/api/v1/status")["budget"]["cpu"]["ratio"] == 0.01
        family = psutil.Process(daemon.process.pid).children(recursive=True)
        assert daemon.stop() < 5
        assert not [child for child in family if child.is_running() and child.status() != "zombie"]


def test_without_lifecycle_nobody_can_ask_for_it(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, {"probes": {"enabled": False}}) as daemon:
        status, body = daemon.get("/api/v1/report", method="POST")
        assert (status, msgspec.json.decode(body)["error"]["code"]) == (403, "lifecycle_disabled")
