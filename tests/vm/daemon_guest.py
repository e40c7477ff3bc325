"""Runs in a guest: the daemon lives through CPUs that are switched off and on again. Prints `survived`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import toposcope_probes

_URL = "http://127.0.0.1:9847"
# One probe, and all the budget it wants: what takes 6 ms elsewhere takes a hundred here.
_PROBE = "cacheline_cas"
# Emulated: everything takes some twenty times as long.
_LIMIT_S = 240.0
_TOPOLOGY_LIMIT_S = 60.0


def ask(path: str) -> Any:
    with urllib.request.urlopen(_URL + path, timeout=60) as answer:
        return json.load(answer)


def wait_for(what: str, happened: Callable[[], bool], limit_s: float = _LIMIT_S) -> float:
    """Seconds until it happened."""
    begin_s = time.monotonic()
    while True:
        try:
            if happened():
                return time.monotonic() - begin_s
        except OSError:
            pass  # not listening yet
        if time.monotonic() - begin_s > limit_s:
            raise SystemExit(f"{what}: not within {limit_s:.0f} s")
        time.sleep(0.5)


def switch(cpus: list[int], online: bool) -> None:
    for cpu in cpus:
        Path(f"/sys/devices/system/cpu/cpu{cpu}/online").write_text(str(int(online)))


def visits_of(cpus: set[int]) -> dict[str, int]:
    results = ask("/api/v1/results")["results"]
    return {each["id"]: each["visits"] for each in results if cpus & set(each["target"]["cpus"])}


def main() -> None:
    cpus = [int(word) for word in sys.argv[1:]]
    config = Path("/run/config.yaml")
    others = {spec.name: {"enabled": False} for spec in toposcope_probes.load_all() if spec.name != _PROBE}
    probes = {"budget_ratio": 1.0, _PROBE: {"interval_s": 5.0}} | others
    config.write_text(json.dumps({"store": {"directory": "/run/toposcope-test"}, "probes": probes}))
    daemon = subprocess.Popen([sys.executable, "-m", "toposcope", "serve", "--config", str(config)])
    wait_for("the first result", lambda: bool(ask("/api/v1/results")["results"]))
    every_cpu = ask("/api/v1/topology")["online_cpus"]
    wait_for("a result about the CPUs to be switched off", lambda: bool(visits_of(set(cpus))))

    switch(cpus, online=False)
    left = [cpu for cpu in every_cpu if cpu not in cpus]
    noticed_s = wait_for(
        "the CPUs' going", lambda: ask("/api/v1/topology")["online_cpus"] == left, _TOPOLOGY_LIMIT_S
    )
    print(f"CPUs {cpus} went; noticed after {noticed_s:.1f} s")
    stale = [each for each in ask("/api/v1/results")["results"] if set(cpus) & set(each["target"]["cpus"])]
    assert stale, "results of vanished CPUs were dropped"
    assert all("stale_reason" in each for each in stale), "results of vanished CPUs are not marked"
    before = visits_of(set(cpus))
    time.sleep(15)
    assert visits_of(set(cpus)) == before, "something was measured on CPUs that are gone"

    switch(cpus, online=True)
    noticed_s = wait_for(
        "the CPUs' return", lambda: ask("/api/v1/topology")["online_cpus"] == every_cpu, _TOPOLOGY_LIMIT_S
    )
    print(f"CPUs {cpus} came back; noticed after {noticed_s:.1f} s")
    kinds = [event["kind"] for event in ask("/api/v1/events")["events"]]
    assert kinds.count("topology_changed") >= 2, kinds
    assert daemon.poll() is None, "the daemon died"
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    print("survived")


if __name__ == "__main__":
    main()
