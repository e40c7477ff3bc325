"""Runs in a guest without a network: the package as an operator meets it, under a real systemd. Standard library only.

    packages_guest.py upgrade    install, upgrade, remove, purge; prints `clean`
    packages_guest.py rpm        the same of the .rpm, by rpm; prints `clean`
    packages_guest.py heal       unplug CPUs, kill and stop the daemon; prints `healed`
    packages_guest.py drop-ins   each drop-in and the socket unit by itself; prints `fitted`
    packages_guest.py probes     every default probe once, below the unit as it is shipped; prints `measured`

/share holds old and new .deb and .rpm, drop-ins/, and web/ with web.yml and what it names. The unit and its times are
those of the package; only config.yaml is changed.
"""

from __future__ import annotations

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

ADDRESS = "127.0.0.1:9847"
URL = f"http://{ADDRESS}"
UNIT = "toposcope.service"
SOCKET = "toposcope.socket"
DROP_INS = Path("/etc/systemd/system/toposcope.service.d")
CONFIG = Path("/etc/toposcope/config.yaml")
STATE = Path("/var/lib/private/toposcope")
EXPOSURE_MAX = 1.5
# Emulated: everything takes some twenty times as long.
LIMIT_S = 240.0
# Some probes have forty variants, some of them seconds each where nothing is emulated.
MEASURE_LIMIT_S = 600.0
SLOWNESS = 5
# What kernels say where two ends are hardly ever on their CPUs at once, or a batch outlasts a tick.
TOO_SLOW = ("at the same time", "windows only", "were kept", "deadline", "were dropped")
BEGIN_S = time.monotonic()


def say(sentence: str) -> None:
    print(f"{time.monotonic() - BEGIN_S:6.1f} s  {sentence}", flush=True)


def said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}{journal()}"
        )
    return done.stdout


def journal() -> str:
    command = ["journalctl", "-u", UNIT, "--no-pager", "-n", "40"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def ask(path: str, body: dict[str, Any] | None = None, limit_s: float = 120.0) -> Any:
    request = urllib.request.Request(URL + path, json.dumps(body).encode() if body else None)
    with urllib.request.urlopen(request, timeout=limit_s) as answer:
        return json.load(answer)


def wait_for(what: str, happened: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    end_s = time.monotonic() + limit_s
    while True:
        try:
            if happened():
                return
        except OSError:
            pass  # not listening yet, or no longer
        if time.monotonic() > end_s:
            raise SystemExit(f"{what}: not within {limit_s:.0f} s\n{journal()}")
        time.sleep(0.5)


def property_of(name: str) -> str:
    return said("systemctl", "show", "-p", name, "--value", UNIT).strip()


def visits() -> dict[str, int]:
    return {each["id"]: each["visits"] for each in ask("/api/v1/results")["results"]}


def files() -> set[str]:
    """Everything on the disk but what dpkg, rpm, the journal and Python keep for themselves."""
    home = Path.home()
    skipped = ("/var/lib/dpkg/", "/var/lib/rpm", f"{home}/.rpmdb", "/var/log/", "/var/cache/", "/tmp/", "/share/",
               f"{home}/.cache/")  # fmt: skip
    listing = said(
        "find", "/", "-xdev", "-not", "-path", "/proc*", "-not", "-path", "/sys/*", "-not", "-path", "/run/*"
    )
    names = [line for line in listing.splitlines() if not line.startswith(skipped)]
    return {
        name
        for name in names
        if "/__pycache__" not in name and not name.startswith("/var/tmp/systemd-private")
    }


def install(package: str) -> None:
    """As unattended upgrades do it: a configuration that both sides changed is kept without a question.

    By rpm its dependencies, which are those of another distribution, are not asked for: they are here all the same.
    """
    if is_rpm():
        said("rpm", "--upgrade", "--nodeps", f"/share/{package}.rpm")
    else:
        said("dpkg", "--force-confold", "--install", f"/share/{package}.deb")


def is_rpm() -> bool:
    return sys.argv[1] == "rpm"


def exposure() -> float:
    """What systemd makes of the unit as it runs, 0 to 10."""
    line = said("systemd-analyze", "security", UNIT, "--no-pager").splitlines()[-1]
    return float(next(word for word in line.split() if word.replace(".", "").isdigit()))


def check_started() -> None:
    assert said("systemctl", "is-active", UNIT).strip() == "active"
    assert said("systemctl", "is-enabled", UNIT).strip() == "enabled"
    user = said("ps", "-o", "user=", "-p", property_of("MainPID")).strip()
    assert property_of("DynamicUser") == "yes"
    assert user != "root", user
    wait_for("the first result", lambda: bool(visits()))
    say(f"active as {user}, {len(visits())} results; exposure {exposure()}")
    assert exposure() <= EXPOSURE_MAX


def check_heals(signal: str) -> None:
    """The main process is hit by a signal; another one takes its place and serves what was served."""
    before, pid = visits(), property_of("MainPID")
    began_s = time.monotonic()
    said("kill", f"-{signal}", pid)
    wait_for(f"another process after {signal}", lambda: property_of("MainPID") not in ("0", pid))
    wait_for(f"results after {signal}", lambda: before.keys() <= visits().keys())
    say(f"healed after {signal} in {time.monotonic() - began_s:.0f} s, {len(visits())} results served")


def check_hotplug(cpu: int) -> None:
    every = ask("/api/v1/topology")["online_cpus"]
    pid = property_of("MainPID")
    switch = Path(f"/sys/devices/system/cpu/cpu{cpu}/online")
    switch.write_text("0")
    left = [each for each in every if each != cpu]
    wait_for("the CPU's going", lambda: ask("/api/v1/topology")["online_cpus"] == left)
    switch.write_text("1")
    wait_for("the CPU's return", lambda: ask("/api/v1/topology")["online_cpus"] == every)
    assert property_of("MainPID") == pid, "the daemon was restarted"
    say(f"CPU {cpu} went and came back under it")


def check_upgrade() -> None:
    """The new version serves what the old one measured; the operator's change of the configuration stays."""
    before, old = visits(), ask("/api/v1/status")["version"]
    changed = CONFIG.read_text() + "# changed by the operator\n"
    CONFIG.write_text(changed)
    install("new")
    wait_for("the new version", lambda: ask("/api/v1/status").get("version", old) != old)
    new = ask("/api/v1/status")["version"]
    assert CONFIG.read_text() == changed
    assert before.keys() <= visits().keys(), before.keys() - visits().keys()
    say(f"upgraded {old} to {new}: {len(before)} results kept, configuration kept")


def check_removal(before: set[str]) -> None:
    said("dpkg", "--remove", "toposcope")
    left = files() - before
    allowed = (str(CONFIG.parent), str(STATE), "/var/lib/toposcope", "/var/lib/private")
    assert not [name for name in left if not name.startswith(allowed)], sorted(left)
    assert (STATE / "results.db").exists()
    assert CONFIG.exists()
    assert property_of("LoadState") == "not-found"
    say(f"removed; left: {', '.join(sorted(left))}")
    said("dpkg", "--purge", "toposcope")
    left = files() - before - {"/var/lib/private"}  # systemd's own, shared by all services with dynamic users
    assert not left, sorted(left)
    assert not before - files(), sorted(before - files())
    say("purged; nothing is left")


def check_erasure(before: set[str]) -> None:
    """What `rpm --erase` leaves: the results, and the configuration that was changed under another name."""
    said("rpm", "--erase", "toposcope")
    left = files() - before
    saved = f"{CONFIG}.rpmsave"
    allowed = (saved, str(STATE), "/var/lib/toposcope", "/var/lib/private")
    assert saved in left
    assert not [name for name in left - {str(CONFIG.parent)} if not name.startswith(allowed)], sorted(left)
    assert (STATE / "results.db").exists()
    assert property_of("LoadState") == "not-found"
    assert not before - files(), sorted(before - files())
    say(f"erased; left: {', '.join(sorted(left))}")


def start(package: str) -> None:
    """Install where no network is, and have it measure with all the budget it wants: there are results to lose."""
    links = sorted(path.name for path in Path("/sys/class/net").iterdir())
    assert links == ["lo"], links
    install(package)
    check_started()
    CONFIG.write_text(CONFIG.read_text().replace("budget_ratio: 0.01", "budget_ratio: 1.0"))
    said("systemctl", "reload", UNIT)


def upgrade() -> None:
    before = files()
    start("old")
    check_upgrade()
    if is_rpm():
        check_erasure(before)
    else:
        check_removal(before)
    print("clean")


def heal() -> None:
    start("new")
    check_hotplug(max(ask("/api/v1/topology")["online_cpus"]))
    check_heals("KILL")
    check_heals("STOP")
    print("healed")


def check_realtime() -> str:
    policy = os.sched_getscheduler(int(property_of("MainPID")))
    assert policy == os.SCHED_FIFO, policy
    return "the daemon is SCHED_FIFO"


def check_network() -> str:
    assert "0.0.0.0/0" in property_of("IPAddressAllow"), property_of("IPAddressAllow")
    return "any address is let in"


def check_web() -> str:
    """TLS by a key that root owns; the plain text is refused."""
    trusting = ssl.create_default_context(cafile="/share/web/ca.pem")
    wait_for("TLS", lambda: ask_by_tls(trusting) == 200)
    return "answers by TLS with a key of root's"


def ask_by_tls(trusting: ssl.SSLContext) -> int:
    with urllib.request.urlopen(f"https://{ADDRESS}/-/healthy", timeout=60, context=trusting) as answer:
        return int(answer.status)


def check_audit() -> str:
    """It sees processes of others: more than itself and what it starts."""
    found: dict[str, Any] = {}

    def looked() -> bool:
        found.update(ask("/api/v1/audit"))
        return found.get("processes_seen", 0) > 0

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
    if name != "web.conf":  # there it takes a certificate to ask
        wait_for("a new visit", lambda: any(
            each["last_time_s"] > began_s and each["verdict"] != "failed" for each in ask("/api/v1/results")["results"]))  # fmt: skip
    say(f"{name}: {outcome}; exposure {exposure()}")
    (DROP_INS / name).unlink()


def check_socket() -> None:
    """The address is held while the service is away: who connects then waits, and is answered."""
    CONFIG.write_text("probes: {budget_ratio: 1.0}\n")
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
    """With arguments, only what they name (`socket` for the socket unit)."""
    start("new")
    shutil.copytree("/share/web", CONFIG.parent, dirs_exist_ok=True)
    busy = "probes: {budget_ratio: 1.0}\n"
    config_file = "/run/credentials/toposcope.service/web.yml"
    checks: dict[str, Callable[[], None]] = {
        "realtime.conf": lambda: check_drop_in("realtime.conf", busy, check_realtime),
        "socket": check_socket,
        "audit.conf": lambda: check_drop_in(
            "audit.conf", busy + "audit: {enabled: true, interval_s: 10}\n", check_audit
        ),
        "web.conf": lambda: check_drop_in(
            "web.conf", busy + f"web: {{config_file: {config_file}}}\n", check_web
        ),
        "network.conf": lambda: check_drop_in("network.conf", busy, check_network),
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
    {"upgrade": upgrade, "rpm": upgrade, "heal": heal, "drop-ins": drop_ins, "probes": probes}[sys.argv[1]]()
