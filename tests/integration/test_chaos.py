"""What a host may do to the daemon, again and again: kill it, kill and stop its kernels, fill its disk.

Minutes, hence slow. TOPOSCOPE_CHAOS_ROUNDS takes the place of the 200 rounds (and of 500 kernels in proportion);
TOPOSCOPE_CHAOS_SEED that of the seed, which is printed on failure.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from integration.daemon_process import DaemonProcess
from toposcope.clock import ManualClock
from toposcope.measure import runner
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.store import FILE_NAME, Store
from toposcope_probes import load_all
from toposcope_probes.contract import TargetKind

pytestmark = [
    pytest.mark.slow,
    pytest.mark.live,
    pytest.mark.flaky(reruns=0),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pairs need two CPUs"),
]
_ROUNDS = int(os.environ.get("TOPOSCOPE_CHAOS_ROUNDS", "200"))
_SEED = int(os.environ.get("TOPOSCOPE_CHAOS_SEED", "20261122"))
# As much writing as can be had, on a busy machine too: max_age_s ends the daemon's politeness.
_BUSY = {"probes": {"budget_ratio": 1.0, "cacheline_cas": {"interval_s": 1.0, "max_age_s": 1.0}}}
# Kernels that are there to be met: every probe of pairs each second.
_PAIRS = {
    spec.name: {"interval_s": 1.0, "max_age_s": 1.0} for spec in load_all() if spec.target is TargetKind.PAIR
}


def _stored_times(store: Path) -> dict[str, set[float]]:
    """Times of all stored visits by result; the file has to be whole."""
    with sqlite3.connect(store / FILE_NAME) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = database.execute(
            "SELECT id, time_s FROM visits JOIN results ON results.row = visits.result"
        ).fetchall()
    database.close()
    found: dict[str, set[float]] = {}
    for result_id, time_s in rows:
        found.setdefault(result_id, set()).add(time_s)
    return found


@contextlib.contextmanager
def _written_to(daemon: DaemonProcess) -> Iterator[None]:
    """Visits are asked for all the while, one after the other: each is a commit, also on a busy machine."""
    wanted = {"probe": "cacheline_cas", "cpus": sorted(os.sched_getaffinity(0))[:2], "visits": 20}
    request = urllib.request.Request(f"{daemon.url}/api/v1/measure", msgspec.json.encode(wanted))

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it is killed in the middle
            while True:
                urllib.request.urlopen(request, timeout=10).read()

    asking = threading.Thread(target=ask)
    asking.start()
    yield
    asking.join()


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_served(tmp_path: Path) -> None:
    chance = random.Random(_SEED)
    served: dict[str, set[float]] = {}
    settings = _BUSY | {"web": {"enable_lifecycle": True}}
    stored_before = writing = 0
    for number in range(_ROUNDS):
        with DaemonProcess(tmp_path, settings) as daemon, _written_to(daemon):
            time.sleep(chance.uniform(0.0, 0.4))
            for result in daemon.json("/api/v1/results")["results"]:
                served.setdefault(result["id"], set())
            for asked in served:
                visits = daemon.json(f"/api/v1/results/{asked}")["newest_visits"]
                served[asked] |= {visit["time_s"] for visit in visits}
            time.sleep(chance.uniform(0.0, 0.02))
            daemon.kill()
        stored = _stored_times(tmp_path / "store")
        assert served.keys() <= stored.keys(), (_SEED, number)
        for result_id, times in served.items():
            assert times <= stored[result_id], (_SEED, number, result_id)
        assert not list((tmp_path / "store").glob("*.damaged*")), (_SEED, number)
        stored_now = sum(map(len, stored.values()))
        writing += stored_now > stored_before
        stored_before = stored_now
    print(f"{_ROUNDS} kills, {writing} of daemons that had written, {stored_before} visits; seed {_SEED}")
    assert writing > _ROUNDS * 0.8
    assert served


def _kernels_of(pid: int) -> list[int]:
    """Children of the daemon that run the kernels' program right now."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listing.read_text().split():
            try:
                name = Path(f"/proc/{child}/comm").read_text()
            except OSError:  # it ended between the two looks
                continue
            if name.startswith("toposcope-kern"):
                found.append(int(child))
    return found


@pytest.mark.parametrize(
    ("number", "share"), [(signal.SIGKILL, 1.0), (signal.SIGSEGV, 0.5), (signal.SIGSTOP, 0.25)]
)
def test_kernels_that_die_or_stop_cost_their_visits_only(
    tmp_path: Path, number: signal.Signals, share: float
) -> None:
    """A stopped one ends by its deadline, so a round of those takes longer."""
    wanted = max(3, round(_ROUNDS * share))
    hit: set[int] = set()
    with DaemonProcess(tmp_path, {"probes": {"budget_ratio": 1.0, **_PAIRS}}) as daemon:
        end_s = time.monotonic() + 600
        while len(hit) < wanted:
            assert time.monotonic() < end_s, f"{len(hit)} of {wanted} kernels were met"
            for child in _kernels_of(daemon.process.pid):
                if child in hit:
                    continue
                try:
                    os.kill(child, number)
                    hit.add(child)
                except ProcessLookupError:
                    continue
            time.sleep(0.0005)
        assert daemon.get("/metrics")[0] == 200
        before = {each["id"]: each["visits"] for each in daemon.json("/api/v1/results")["results"]}
        daemon.wait_for(
            "/api/v1/results",
            lambda document: any(each["verdict"] in ("ok", "noisy", "unstable")
                                 and each["visits"] > before.get(each["id"], 0) for each in document["results"]),
            limit_s=120,
        )  # fmt: skip
        assert "Traceback" not in daemon.log()
        daemon.stop()
    assert not [pid for pid in hit if Path(f"/proc/{pid}").exists()]
    print(f"{len(hit)} kernels met by {number.name}")


# In place of the kernels' program: four runs of five print what no kernel would, or end as none should.
_GARBAGE = """#!/bin/bash
number=$(( $(date +%N) / 1000 % 10 ))
case $number in
0) head -c 65536 /dev/urandom ;;
1) echo '{"schema_version":1,"kernel":"cacheline_cas","cpus":[0,' ;;
2) echo '{"schema_version":1,"kernel":"x","cpus":[7,9],"status":"ok","samples":{"latency_ns":[[1]]}}' ;;
3) yes '{}' | head -c 2000000 ;;
4) head -c 40000000 /dev/zero ;;
5) echo 'out of order' >&2; exit 3 ;;
6) ;;
7) echo '{"schema_version":1,"kernel":"cacheline_cas","cpus":[0,1],"status":"ok","samples":{"latency_ns":[[-1,1e400]]}}' ;;
*) exec "$KERNELS" "$@" ;;
esac
printf x >> "$COUNT"
"""
_WITH_GARBAGE = (
    "import pathlib, sys; from toposcope.measure import runner; from toposcope.cli import main;"
    "runner.kernels_path = lambda: pathlib.Path({program!r}); main()"
)


def test_kernels_that_print_garbage_cost_their_visits_only(tmp_path: Path) -> None:
    wanted = max(3, round(_ROUNDS * 0.75))
    program, count = tmp_path / "garbage", tmp_path / "count"
    count.touch()
    text = _GARBAGE.replace("$KERNELS", str(runner.kernels_path())).replace("$COUNT", str(count))
    program.write_text(text)
    program.chmod(0o755)
    patched = ("-c", _WITH_GARBAGE.format(program=str(program)))
    with DaemonProcess(tmp_path, {"probes": {"budget_ratio": 1.0, **_PAIRS}}, program=patched) as daemon:
        end_s = time.monotonic() + 600
        while count.stat().st_size < wanted:
            assert time.monotonic() < end_s, f"{count.stat().st_size} of {wanted} printed garbage"
            time.sleep(0.1)
        found = {each["verdict"] for each in daemon.json("/api/v1/results")["results"]}
        assert found <= {"ok", "noisy", "unstable", "failed", "not_applicable"}, found
        text = daemon.get("/metrics")[1].decode()
        for reason in ("garbage", "too_much_output", "exit_3", "no_result"):
            assert f'reason="{reason}"' in text, text
        assert "Traceback" not in daemon.log()
        print(f"{count.stat().st_size} programs printed garbage")
        daemon.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_writing_and_nothing_else(tmp_path: Path, small_disk: Path) -> None:
    settings = _BUSY | {"store": {"directory": str(small_disk / "store")}}
    with DaemonProcess(tmp_path, settings) as daemon:
        daemon.wait_for("/api/v1/results", lambda document: document["results"])
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass  # full, which is what was wanted
        end_s = time.monotonic() + 60
        while "can't be written" not in daemon.log():
            assert time.monotonic() < end_s, daemon.log()
            time.sleep(0.2)
        assert daemon.get("/metrics")[0] == daemon.get("/-/healthy")[0] == 200
        served = daemon.json("/api/v1/results")["results"]
        filler.unlink()
        stored = {key: len(times) for key, times in _stored_times(small_disk / "store").items()}
        end_s = time.monotonic() + 120
        while all(
            len(times) <= stored.get(key, 0) for key, times in _stored_times(small_disk / "store").items()
        ):
            assert time.monotonic() < end_s, daemon.log()[-2000:]
            time.sleep(0.5)
        assert {result["id"] for result in served} <= set(_stored_times(small_disk / "store"))
        assert "Traceback" not in daemon.log()
        daemon.stop()


def test_steps_of_the_clock_either_way_lose_no_result(tmp_path: Path) -> None:
    """24 steps from a second to decades, with the hourly pruning after each; every result stays, in order."""
    clock = ManualClock()
    estimate = Estimate(26.0, 25.0, 26.0, 28.0, 25.5, 26.5, 2.0)
    still = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "l3")
    often = Identity("cacheline_cas", Target((0, 2)), {"model": "thread"}, "l3")

    def visit() -> Visit:
        return Visit(clock.wall_s(), 0.003, "ok", "", {"latency_ns": estimate}, 256, {})

    with Store(tmp_path) as store:
        store.record("m", still, "latency_ns", visit())
        for number in range(24):
            size_s = 10 ** (number * 9 / 23)  # to 32 years
            clock.step_wall(-size_s if number % 2 else size_s)
            last = visit()
            store.record("m", often, "latency_ns", last)
            store.prune(clock.wall_s(), raw_days=14, daily_days=400, max_bytes=1 << 30)
            clock.advance(3600)
            found = {identity.id: visits for identity, _, visits in store.results("m", 64)}
            assert found.keys() == {still.id, often.id}, number
            assert found[often.id][-1] == last, number


def test_a_disk_that_is_read_only_gives_one_sentence(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    daemon = DaemonProcess(tmp_path, {"store": {"directory": str(small_disk / "store")}})
    assert daemon.process.wait(30) == 1
    assert "the folder for results can't be made: Read-only file system" in daemon.log()
    assert "Traceback" not in daemon.log()
