"""run, tune and explain as users call them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration.daemon_process import DaemonProcess

pytestmark = pytest.mark.live
CPUS = sorted(os.sched_getaffinity(0))


def _start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    # Nobody answers there: what runs on this machine besides the tests must not matter.
    environment = os.environ | {"TOPOSCOPE_URL": "", "XDG_STATE_HOME": str(home)}
    environment = {name: value for name, value in environment.items() if not name.startswith("OMP_")}
    return subprocess.Popen(
        [sys.executable, "-m", "toposcope", *arguments], text=True, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _toposcope(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with _start(home, *arguments) as process:
        out, complaint = process.communicate(timeout=100)
    return subprocess.CompletedProcess(arguments, process.returncode, out, complaint)


def test_without_results_the_command_runs_unchanged_and_that_is_said(tmp_path: Path) -> None:
    code = (
        "import os; print(sorted(os.sched_getaffinity(0)), 'OMP_PLACES' in os.environ); raise SystemExit(9)"
    )
    done = _toposcope(tmp_path, "run", "--workers", "1", "--", sys.executable, "-c", code)
    assert (done.returncode, done.stdout) == (9, f"{CPUS} False\n")
    assert "leave it as it is" in done.stderr
    quiet = _toposcope(tmp_path, "run", "--quiet", "--", "true")
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_anyway_places_the_command(tmp_path: Path) -> None:
    cpu = str(CPUS[-1])
    code = "import os; print(*os.sched_getaffinity(0), os.environ['OMP_PLACES'])"
    done = _toposcope(tmp_path, "run", "--anyway", "--cpus", cpu, "--", sys.executable, "-c", code)
    assert done.stdout.split() == [cpu, f"{{{cpu}}}"]


def test_a_signal_reaches_the_command_itself(tmp_path: Path) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(42)); print('up', flush=True); time.sleep(60)"
    with _start(tmp_path, "run", "--", sys.executable, "-c", code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 42


def test_a_daemon_of_this_machine_is_asked_and_one_of_another_is_not_believed(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("cpu,0,1\n0,,50\n1,50,\n")
    quiet = {"probes": {"enabled": False}}
    words = ("run", "--dry-run", "--workers", "1", "--format", "json", "--", "true")
    with DaemonProcess(tmp_path, quiet) as daemon:
        answer = json.loads(_toposcope(tmp_path, words[0], "--url", daemon.url, *words[1:]).stdout)
        assert answer["source"] == daemon.url
        daemon.stop()
    with DaemonProcess(tmp_path, quiet, ("--matrix", str(other))) as daemon:
        refused = _toposcope(tmp_path, words[0], "--url", daemon.url, *words[1:])
        assert refused.returncode == 2
        assert "speaks of another machine" in refused.stderr
        daemon.stop()


def test_a_dry_run_starts_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    done = _toposcope(tmp_path, "run", "--dry-run", "--format", "json", "--anyway", "--", "touch", str(mark))
    document = json.loads(done.stdout)
    assert set(document["cpus"]) <= set(CPUS)
    assert document["advice"] == "leave"
    assert not mark.exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("run", "--workers", "4000", "--", "true"), 2),
        (("run", "--", "/nonexistent"), 127),
        (("run", "--memory-per-worker", "-3", "--", "true"), 2),
        (("tune", "--metric", "[", "--", "true"), 2),
        (("tune", "--workers", "1", "--rounds", "3", "--", "true"), 2),
        (("tune", "--workers", "1", "--", "false"), 1),
        (("tune", "--workers", "1", "--metric", "t=(.*)", "--", "echo", "nothing"), 2),
        (("explain", "no such program"), 2),
    ],
)
def test_refusals_are_one_sentence(tmp_path: Path, arguments: tuple[str, ...], status: int) -> None:
    done = _toposcope(tmp_path, *arguments)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("toposcope")


@pytest.mark.skipif(len(CPUS) < 2, reason="pairs need two CPUs")
def test_recommend_measures_what_it_lacks_and_keeps_it(tmp_path: Path) -> None:
    before = json.loads(_toposcope(tmp_path, "recommend", "--workers", "2", "--format", "json").stdout)
    assert "was not measured on this host" in " ".join(before["placements"][0]["reasons"])
    done = _toposcope(tmp_path, "recommend", "--workers", "2", "--measure", "--format", "json")
    document = json.loads(done.stdout)
    first = document["placements"][0]
    assert document["source"].startswith("measurement")
    assert "was not measured on this host" not in " ".join(first["reasons"]), done.stderr
    # A pair whose value doesn't settle has none; then that is what is said.
    pairs = next(used for used in first["evidence"] if used["what"] == "pair latencies")
    assert pairs["basis"] == "measured" or "unstable" in " ".join(first["reasons"]), done.stderr
    after = json.loads(_toposcope(tmp_path, "recommend", "--workers", "2", "--format", "json").stdout)
    assert "was not measured on this host" not in " ".join(after["placements"][0]["reasons"])


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU and all are the same")
def test_recommend_measures_what_one_cpu_does_to_a_python_server(tmp_path: Path) -> None:
    server = ("--workers", "1", "--bound", "io", "--runtime", "python", "--model", "threads")
    before = _toposcope(tmp_path, "recommend", *server)
    assert "whether one CPU answers more was not measured" in " ".join(before.stdout.split())
    measured = _toposcope(tmp_path, "recommend", *server, "--measure", "--format", "json")
    assert measured.returncode == 0, measured.stderr
    results = [json.loads(line) for line in _toposcope(tmp_path, "export").stdout.splitlines()]
    found = [one for one in results if one.get("probe") == "python_affinity"]
    assert {one["variant"]["model"] for one in found} == {"thread"}, "only the model that was asked about"
    assert all(one["visits"] >= 2 for one in found)
    # Where it is clear the advice follows; where it isn't, nothing is placed.
    first = json.loads(measured.stdout)["placements"][0]
    is_clear = first["interval"] is not None and first["interval"][0] >= 1.05
    assert json.loads(measured.stdout)["advice"] == ("place" if is_clear else "leave")


def test_another_machine_is_not_measured_from_here(tmp_path: Path) -> None:
    matrix = tmp_path / "other.csv"
    matrix.write_text("cpu,0,1\n0,,50\n1,50,\n")
    refused = _toposcope(tmp_path, "recommend", "--workers", "2", "--measure", "--matrix", str(matrix))
    assert refused.returncode == 2
    assert "can't be measured from here" in refused.stderr


@pytest.mark.skipif(len(CPUS) < 2, reason="a placement needs a choice")
def test_tune_finds_what_depends_on_the_placement(tmp_path: Path) -> None:
    # Its number falls where it is bound to one CPU, whatever the machine is doing meanwhile.
    code = "import os; print('cost', 5 if len(os.sched_getaffinity(0)) == 1 else 9)"
    arguments = ("tune", "--workers", "1", "--metric", r"cost (\d+)", "--rounds", "8", "--format", "json")
    done = _toposcope(tmp_path, *arguments, "--", sys.executable, "-c", code)
    document = json.loads(done.stdout)
    assert (document["answer"], document["winner"]) == ("winner", "advised"), done.stderr
    unchanged = document["placements"][0]
    assert (unchanged["name"], unchanged["median"], unchanged["runs"]) == ("unchanged", 9, 8)


@pytest.mark.skipif(len(CPUS) < 2, reason="a placement needs a choice")
def test_tune_says_where_there_is_no_difference(tmp_path: Path) -> None:
    arguments = ("tune", "--workers", "1", "--metric", r"(\d+)", "--rounds", "8")
    done = _toposcope(tmp_path, *arguments, "--", "echo", "7")
    assert done.returncode == 0
    assert "no difference" in done.stdout
    assert "unchanged" in done.stdout.splitlines()[1]


@pytest.mark.skipif(len(CPUS) < 2, reason="a placement needs a choice")
def test_tune_stops_at_ctrl_c_with_what_it_has_and_leaves_nothing_running(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"test -e {pid_file} || exec touch {pid_file}; echo $$ > {pid_file}; exec sleep 60"
    with _start(tmp_path, "tune", "--workers", "1", "--", "sh", "-c", script) as process:
        end_s = time.monotonic() + 30
        while not (pid_file.exists() and pid_file.read_text().strip()):
            assert time.monotonic() < end_s
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "no difference; nothing was run to the end of a round" in out
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.skipif(len(CPUS) < 2, reason="a placement needs a choice")
def test_the_metric_is_searched_in_stderr_where_stdout_has_none(tmp_path: Path) -> None:
    arguments = ("tune", "--workers", "1", "--metric", r"t=(\d+)", "--rounds", "6", "--format", "json")
    done = _toposcope(tmp_path, *arguments, "--", "sh", "-c", "echo t=1 >&2; echo t=9 >&2")
    assert {placement["median"] for placement in json.loads(done.stdout)["placements"]} == {9}


def test_explain_sees_a_busy_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            time.sleep(0.2)
            done = _toposcope(tmp_path, "explain", str(busy.pid), "--watch-s", "0.5", "--format", "json")
        finally:
            busy.kill()
    document = json.loads(done.stdout)
    assert len(document["busy_threads"]) == 1
    assert set(document["cpus"]) <= set(CPUS)
    assert document["allowed_cpus"] == CPUS


def test_the_audit_is_off_unless_it_is_switched_on(tmp_path: Path) -> None:
    off = {"probes": {"enabled": False}}
    with DaemonProcess(tmp_path, off) as daemon:
        assert daemon.json("/api/v1/audit")["enabled"] is False
        assert b"toposcope_audit_findings{" not in daemon.get("/metrics")[1]
        daemon.stop()
    with DaemonProcess(tmp_path, off | {"audit": {"enabled": True, "interval_s": 10}}) as daemon:
        document = daemon.wait_for("/api/v1/audit", lambda found: found["enabled"])
        assert document["processes_looked_at"] <= 20
        assert b'toposcope_audit_findings{check="memory_far"}' in daemon.get("/metrics")[1]
        daemon.stop()
