"""Runs in a guest without a network: what the service does below its unit, as shipped. Standard library only.

    service_guest.py drop-ins   each drop-in and the socket unit by itself; prints `fitted`
    service_guest.py probes     every default probe once; prints `measured`

More arguments name single drop-ins or probes. /share holds new.deb, packages_guest.py, drop-ins/, and web/ with web.yml,
what it names, and user (`NAME:PASSWORD`).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packages_guest import (
    ADDRESS,
    CONFIG,
    UNIT,
    ask,
    exposure,
    install,
    journal,
    property_of,
    said,
    say,
    start,
    visits,
    wait_for,
)

SOCKET = "toposcope.socket"
DROP_INS = Path("/etc/systemd/system/toposcope.service.d")
BUSY = "probes: {budget_ratio: 1.0}\n"
# An address of documentation (RFC 5737), which the guest gives itself: not loopback to the unit's filter.
OUTSIDE = "192.0.2.1"
# Some probes have forty variants, some of them seconds each where nothing is emulated.
MEASURE_LIMIT_S = 600.0
SLOWNESS = 5
# What kernels say where two ends are hardly ever on their CPUs at once, or a batch outlasts a tick.
TOO_SLOW = (
    "at the same time",
    "windows only",
    "were kept",
    "too few batches",
    "deadline",
    "were dropped",
    "was silent",
    "timed out",
)


def check_realtime() -> str:
    policy = os.sched_getscheduler(int(property_of("MainPID")))
    assert policy == os.SCHED_FIFO, policy
    return "the daemon is SCHED_FIFO"


def curl(*words: str) -> int:
    """The status of an answer; 0 where there was none (curl's 000)."""
    command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *words]
    return int(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def check_network() -> str:
    assert "0.0.0.0/0" in property_of("IPAddressAllow"), property_of("IPAddressAllow")
    wait_for("an answer to a foreign address", lambda: from_outside() == 200)
    return "a foreign address is let in"


def from_outside() -> int:
    return curl("--max-time", "30", f"http://{OUTSIDE}:9847/metrics")


def check_network_drop_in() -> None:
    """Listening everywhere lets nobody in until the drop-in does."""
    said("ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo")
    config = BUSY + f"web: {{listen_address: '0.0.0.0:9847', allowed_hosts: [{OUTSIDE}]}}\n"
    CONFIG.write_text(config)
    said("systemctl", "restart", UNIT)
    wait_for("the API", lambda: bool(ask("/api/v1/status")))
    assert from_outside() == 0, "the unit alone lets a foreign address in"
    check_drop_in("network.conf", config, check_network)


def check_web() -> str:
    """TLS by a key that is root's alone, with a password; neither plain text nor a stranger gets in."""
    key = Path("/etc/toposcope/server.key").stat()
    assert (key.st_uid, key.st_mode & 0o777) == (0, 0o600), key
    trusting = ("--cacert", "/share/web/ca.pem", f"https://{ADDRESS}/api/v1/results")
    password = ("--user", Path("/share/web/user").read_text())
    wait_for("TLS", lambda: curl(*password, *trusting) == 200)
    assert curl(*trusting) == 401
    assert curl("--user", "prometheus:wrong", *trusting) == 401
    assert curl(*password, f"https://{ADDRESS}/api/v1/results") == 0, "a certificate that nobody vouches for"
    assert curl(*password, f"http://{ADDRESS}/api/v1/results") in (0, 400), "plain text"
    seen_s = time.time()
    wait_for("a new visit", lambda: has_visit_since(seen_s, ask_by_tls()["results"]))
    return "TLS and a password, by a key that is root's alone"


def ask_by_tls() -> Any:
    user = Path("/share/web/user").read_text()
    request = urllib.request.Request(f"https://{ADDRESS}/api/v1/results")
    request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    trusting = ssl.create_default_context(cafile="/share/web/ca.pem")
    with urllib.request.urlopen(request, timeout=60, context=trusting) as answer:
        return json.load(answer)


def has_visit_since(time_s: float, results: list[dict[str, Any]]) -> bool:
    return any(each["last_time_s"] > time_s and each["verdict"] != "failed" for each in results)


def check_audit() -> str:
    """It sees processes of others: more than itself and what it starts."""
    found: dict[str, Any] = {}

    def looked() -> bool:
        found.update(ask("/api/v1/audit"))
        return int(found.get("processes_seen", 0)) > 0

    wait_for("an audit", looked)
    assert found["processes_seen"] > 5, found
    return f"the audit sees {found['processes_seen']} processes"


def check_drop_in(name: str, config: str, check: Callable[[], str]) -> None:
    """The service starts with it, does what it is for, and measures; systemd's count with it."""
    CONFIG.write_text(config)
    DROP_INS.mkdir(exist_ok=True)
    shutil.copy(f"/share/drop-ins/{name}", DROP_INS)
    said("systemctl", "daemon-reload")
    began_s = time.time()
    said("systemctl", "restart", UNIT)
    outcome = check()
    if name != "web.conf":  # there it takes a password to ask
        wait_for("a new visit", lambda: has_visit_since(began_s, ask("/api/v1/results")["results"]))
    say(f"{name}: {outcome}; exposure {exposure()}")
    (DROP_INS / name).unlink()


def check_socket() -> None:
    """The address is held while the service is away: who connects then waits, and is answered."""
    CONFIG.write_text(BUSY)
    said("systemctl", "daemon-reload")
    said("systemctl", "stop", UNIT)
    said("systemctl", "enable", "--now", SOCKET)
    said("systemctl", "start", UNIT)
    wait_for("an answer", lambda: bool(ask("/api/v1/status")))
    before = visits()
    pid = property_of("MainPID")
    said("kill", "-KILL", pid)
    began_s = time.monotonic()
    after = ask("/api/v1/status")  # refused at once if nobody held the address
    waited_s = time.monotonic() - began_s
    assert after
    assert property_of("MainPID") not in ("0", pid)
    assert before.keys() <= visits().keys()
    say(f"{SOCKET}: a request during a restart waited {waited_s:.0f} s and was answered")
    said("systemctl", "disable", "--now", SOCKET)


def drop_ins() -> None:
    """All of them, or those that arguments name (`socket` for the socket unit)."""
    start("new")
    shutil.copytree("/share/web", CONFIG.parent, dirs_exist_ok=True)
    config_file = "/run/credentials/toposcope.service/web.yml"
    checks: dict[str, Callable[[], None]] = {
        "realtime.conf": lambda: check_drop_in("realtime.conf", BUSY, check_realtime),
        "socket": check_socket,
        "audit.conf": lambda: check_drop_in(
            "audit.conf", BUSY + "audit: {enabled: true, interval_s: 10}\n", check_audit
        ),
        "web.conf": lambda: check_drop_in(
            "web.conf", BUSY + f"web: {{config_file: {config_file}}}\n", check_web
        ),
        "network.conf": check_network_drop_in,
    }
    for name in sys.argv[2:] or checks:
        checks[name]()
    print("fitted")


def measure(probe: str, cpus: list[int]) -> dict[str, set[str]]:
    """Reasons by verdict of a visit to each of a probe's targets on these CPUs."""
    try:
        results = ask("/api/v1/measure", {"probe": probe, "cpus": cpus}, MEASURE_LIMIT_S)["results"]
    except TimeoutError:
        return {"failed": {f"no deadline kept it within {MEASURE_LIMIT_S:.0f} s"}}
    except urllib.error.HTTPError as error:
        return {"failed": {json.load(error)["error"]["message"]}}
    found: dict[str, set[str]] = {}
    for each in results:
        found.setdefault(each["verdict"], set()).add(each["reason"])
    return found


def lengthen_deadlines() -> None:
    """Give visits as much more time as everything takes longer here, in the installed probes: in the guest only."""
    (folder,) = Path("/usr/lib/toposcope/lib").glob("python*/site-packages/toposcope_probes")
    for file in folder.glob("*.py"):
        longer = re.sub(
            r"(\bdeadline_ms(?:: float)? ?= ?)([0-9_.]+)",
            lambda match: f"{match[1]}{float(match[2]) * SLOWNESS}",
            file.read_text(),
        )
        file.write_text(longer)
    shutil.rmtree(folder / "__pycache__")


def restart() -> list[list[int]]:
    """Start the service anew; the CPUs of each core."""
    said("systemctl", "restart", UNIT)
    wait_for("the API", lambda: bool(ask("/api/v1/status")))
    cores: list[list[int]] = ask("/api/v1/topology")["cores"]
    return cores


def outcome_of(name: str, cores: list[list[int]]) -> str:
    """Ask for a probe on two CPUs of different packages, or of one core where it is about cores."""
    cpus = cores[0] if name == "smt_interference" else [cores[0][0], cores[-1][0]]
    found = measure(name, cpus)
    said_so = (f"{verdict} ({', '.join(sorted(reasons - {''}))[:300]})" for verdict, reasons in found.items())
    say(f"{name}: {'; '.join(said_so)}")
    if not all(any(word in reason for word in TOO_SLOW) for reason in found.get("failed", ())):
        return "denied"
    return "with results" if found.keys() & {"ok", "noisy", "unstable"} else "too slow here"


def probes() -> None:
    """Each default probe is asked for on few CPUs. What an emulated machine is too slow for gets longer deadlines.

    With arguments, only the probes that they name.
    """
    install("new")
    CONFIG.write_text("web: {enable_lifecycle: true}\nprobes: {budget_ratio: 0.0001}\n")
    cores = restart()
    names = [each["name"] for each in ask("/api/v1/probes")["probes"] if not each["on_request_only"]]
    names = [name for name in names if name in (sys.argv[2:] or names)]
    names.sort(key=lambda name: name.startswith("python_"))  # those take longest
    outcomes = {name: outcome_of(name, cores) for name in names}
    slow = [name for name in names if outcomes[name] == "too slow here"]
    if slow:
        say(f"{len(slow)} of {len(names)} again, with deadlines {SLOWNESS} times as long: {', '.join(slow)}")
        lengthen_deadlines()
        cores = restart()
        outcomes |= {name: outcome_of(name, cores) for name in slow}
    for outcome in sorted(set(outcomes.values())):
        found = [name for name in names if outcomes[name] == outcome]
        say(f"{len(found)} of {len(names)} {outcome}: {', '.join(found)}")
    if "denied" in outcomes.values() or "with results" not in outcomes.values():
        raise SystemExit(journal())
    print("measured")


if __name__ == "__main__":
    {"drop-ins": drop_ins, "probes": probes}[sys.argv[1]]()
