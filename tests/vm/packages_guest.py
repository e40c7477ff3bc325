"""Runs in a guest without a network: the package as an operator meets it, under a real systemd. Standard library only.

    packages_guest.py upgrade    install, upgrade, remove, purge; prints `clean`
    packages_guest.py rpm        the same of the .rpm, by rpm; prints `clean`
    packages_guest.py heal       unplug CPUs, kill and stop the daemon; prints `healed`

/share holds old and new .deb and .rpm. The unit and its times are those of the package; only config.yaml is changed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ADDRESS = "127.0.0.1:9847"
URL = f"http://{ADDRESS}"
UNIT = "toposcope.service"
CONFIG = Path("/etc/toposcope/config.yaml")
STATE = Path("/var/lib/private/toposcope")
EXPOSURE_MAX = 1.5
# Emulated: everything takes some twenty times as long.
LIMIT_S = 240.0
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


if __name__ == "__main__":
    {"upgrade": upgrade, "rpm": upgrade, "heal": heal}[sys.argv[1]]()
