"""The daemon as users run it: a real process that measures this machine's real CPUs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from integration.daemon_process import DaemonProcess

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pairs need two CPUs"),
]
# Only the pair probes: the others' costs are their own tests' business.
_PAIRS_ONLY = {"probes": {"cacheline_cas": {"interval_s": 1.0}}}


def _toposcope(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "toposcope", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_fresh_daemon_serves_measured_latencies_and_keeps_them_over_kill_9(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, _PAIRS_ONLY) as daemon:
        found = daemon.wait_for("/api/v1/results?probe=cacheline_cas", lambda document: document["results"])
        first = found["results"][0]
        assert first["verdict"] in ("ok", "noisy", "unstable")
        assert first["visits"] >= 1
        metrics = daemon.get("/metrics")[1].decode()
        assert "toposcope_cacheline_latency_seconds{" in metrics
        assert "toposcope_result_verdict{" in metrics
        assert daemon.get("/-/healthy")[0] == daemon.get("/-/ready")[0] == 200
        assert len(daemon.json("/api/v1/topology")["online_cpus"]) == os.cpu_count()
        served = {result["id"]: result["visits"] for result in daemon.json("/api/v1/results")["results"]}
        daemon.kill()
    quiet = {"probes": {"enabled": False}}
    with DaemonProcess(tmp_path, quiet) as daemon:
        kept = {result["id"]: result["visits"] for result in daemon.json("/api/v1/results")["results"]}
        assert served.items() <= kept.items() or all(kept[name] >= visits for name, visits in served.items())
        assert daemon.stop() < 2.0
        assert "Traceback" not in daemon.log()


def test_sigterm_in_the_middle_of_measuring_ends_in_two_seconds_without_leftovers(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, _PAIRS_ONLY) as daemon:
        daemon.wait_for("/api/v1/results", lambda document: document["results"])
        assert daemon.stop() < 2.0
        assert "toposcope stopped" in daemon.log()
        assert "Traceback" not in daemon.log()
    children = subprocess.run(
        ["pgrep", "-P", str(daemon.process.pid)], capture_output=True, text=True, check=False
    )
    assert children.stdout == ""


def test_sighup_takes_a_good_config_and_refuses_a_bad_one_with_the_reason(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, {"probes": {"enabled": False}}) as daemon:
        settings = yaml.safe_load(daemon.config_file.read_text())
        daemon.config_file.write_text(yaml.safe_dump(settings | {"probes": {"budget_ratio": 7}}))
        daemon.process.send_signal(signal.SIGHUP)
        refused = daemon.wait_for("/api/v1/events", lambda document: document["events"])["events"][0]
        assert refused["kind"] == "config_refused"
        assert "probes.budget_ratio: 7 is not allowed" in refused["reason"]
        daemon.config_file.write_text(
            yaml.safe_dump(settings | {"probes": {"enabled": True, "budget_ratio": 0.05}})
        )
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("/api/v1/events", lambda document: document["events"][0]["kind"] == "config_reloaded")
        daemon.wait_for("/api/v1/results", lambda document: document["results"])


def test_foreign_hosts_and_lifecycle_requests_are_refused(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, {"probes": {"enabled": False}}) as daemon:
        status, body = daemon.get("/metrics", {"Host": "attacker.example"})
        assert (status, b"host_refused" in body) == (421, True)
        assert daemon.get("/metrics", {"Host": "localhost"})[0] == 200
        status, body = daemon.get("/-/reload", method="POST")
        assert (status, b"web.enable_lifecycle" in body) == (403, True)
        assert daemon.get("/nothing")[0] == 404
        assert daemon.get("/api/v1/events?limit=x")[0] == 400


def test_an_idle_daemon_with_probes_off_starts_no_process_and_is_ready(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, {"probes": {"enabled": False}}) as daemon:
        status = daemon.json("/api/v1/status")
        assert status["ready"] is True
        assert status["placement"] == "unknown"
        assert daemon.json("/api/v1/results")["results"] == []


def test_a_second_daemon_is_refused_on_the_same_port_and_on_the_same_store(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path, {"probes": {"enabled": False}}) as daemon:
        same_store = _toposcope("serve", "--config", str(daemon.config_file))
        assert same_store.returncode == 1
        assert "the store is in use by another toposcope" in same_store.stderr
        other = tmp_path / "other.yaml"
        address = daemon.url.removeprefix("http://")
        other.write_text(
            yaml.safe_dump({"web": {"listen_address": address}, "store": {"directory": str(tmp_path / "b")}})
        )
        same_port = _toposcope("serve", "--config", str(other))
        assert same_port.returncode == 1
        assert "another program listens there already" in same_port.stderr
        assert "Traceback" not in same_store.stderr + same_port.stderr


@pytest.mark.parametrize(
    ("config", "expected", "status"),
    [
        ("store: {directory: /proc/nowhere}", "the folder for results can't be made", 1),
        ("web: {listen_address: '192.0.2.1:9847'}", "can't listen there", 1),
        ("probes: {budget_ratio: lots}", "probes.budget_ratio: 'lots' is not allowed", 2),
        ("probes: {cpus: '0-'}", "probes.cpus: '0-' is not a CPU list", 2),
    ],
)
def test_what_cannot_start_says_why_in_one_sentence(
    tmp_path: Path, config: str, expected: str, status: int
) -> None:
    file = tmp_path / "config.yaml"
    base = {"web": {"listen_address": "127.0.0.1:0"}, "store": {"directory": str(tmp_path / "store")}}
    file.write_text(yaml.safe_dump(base | yaml.safe_load(config)))
    answer = _toposcope("serve", "--config", str(file))
    assert expected in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.returncode == status


def test_clients_that_never_finish_their_requests_delay_no_scraper_and_no_end(tmp_path: Path) -> None:
    limited = {"probes": {"enabled": False}, "web": {"max_connections": 20}}
    with DaemonProcess(tmp_path, limited) as daemon:
        host, port = daemon.url.removeprefix("http://").split(":")
        idle = []
        for _ in range(100):
            connection = socket.create_connection((host, int(port)))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: loc")
            idle.append(connection)
            begin_s = time.monotonic()
            assert daemon.get("/metrics")[0] == 200
            assert time.monotonic() - begin_s < 2.0
        time.sleep(1.1)  # whoever has just connected gets a second to ask
        assert daemon.get("/metrics")[0] == 200
        open_files = list(Path(f"/proc/{daemon.process.pid}/fd").iterdir())
        assert len(open_files) < 60
        assert daemon.stop() < 2.0
        for connection in idle:
            connection.close()
