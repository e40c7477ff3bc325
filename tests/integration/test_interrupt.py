"""Ctrl-C (a real SIGINT to a real process) keeps what was measured, and a broken-off matrix goes on.

The matrix needs more pairs than this machine has CPUs: a stand-in for the kernels' program answers for a
machine of eight CPUs, and notes which pairs it was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

_PAIRS = 8 * 7 // 2
_KERNELS = """#!{python}
import json, sys, time
words = dict(word.split("=", 1) for word in sys.argv[2:])
pairs = words["pairs"].split(",") if "pairs" in words else [words["cpus"].replace(",", ":")]
for pair in pairs:
    time.sleep({pause_s})
    with open({log!r}, "a") as log:
        print(pair, file=log)
    first, second = map(int, pair.split(":"))
    print(json.dumps(dict(
        schema_version=1, kernel=sys.argv[1], cpus=[first, second], status="ok", batches_kept=48,
        samples=dict(latency_ns=[[20.0 + first + second] * 3] * 16))), flush=True)
"""
_DRIVER = """
import sys
from pathlib import Path
from toposcope.cli import _measuring, main
from toposcope.measure import runner
from toposcope.topology.model import Machine
cpus = tuple(range(8))
machine = Machine(is_this_system=True, online_cpus=cpus, packages=(cpus,), cores=tuple((c,) for c in cpus))
runner.kernels_path = lambda: Path({kernels!r})
_measuring.this_machine = lambda: machine
sys.argv = ["toposcope", *sys.argv[1:]]
main()
"""


class _Home:
    """A user's home with a stand-in for the kernels; `asked` are the pairs it was asked for, run by run."""

    def __init__(self, folder: Path, pause_s: float) -> None:
        self.folder, self.log = folder, folder / "asked"
        kernels = folder / "kernels"
        kernels.write_text(_KERNELS.format(python=sys.executable, pause_s=pause_s, log=str(self.log)))
        kernels.chmod(0o755)
        self.driver = _DRIVER.format(kernels=str(kernels))
        self.environment = os.environ | {"TOPOSCOPE_URL": "", "XDG_STATE_HOME": str(folder)}

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    @property
    def partial(self) -> Path:
        return self.folder / "toposcope" / "matrix-cacheline_cas.partial"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self.driver, *arguments], env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def break_off(self, number: int, pairs: int, *arguments: str) -> tuple[int, str, str]:
        """Run, and send a signal once so many pairs were asked for since the start."""
        before = len(self.asked)
        process = self.start(*arguments)
        end_s = time.monotonic() + 60
        while len(self.asked) < before + pairs:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end_s
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def home(tmp_path: Path) -> _Home:
    return _Home(tmp_path, pause_s=0.03)


def _cells(csv: str) -> int:
    """How many pairs a matrix' CSV has (each stands in it twice)."""
    rows = [line.split(",")[1:] for line in csv.splitlines()[1:]]
    return sum(bool(cell) for row in rows for cell in row) // 2


def test_ctrl_c_shows_what_was_measured_and_the_next_call_measures_the_rest(home: _Home) -> None:
    status, out, err = home.break_off(signal.SIGINT, 10, "matrix", "--measure", "--format", "csv")
    measured = _cells(out)
    assert status == 130
    assert 9 <= measured < _PAIRS
    assert f"interrupted: {measured} of {_PAIRS} pairs were measured" in err
    assert home.partial.exists()
    first_run = len(home.asked)
    status, out, err = home.run("matrix", "--format", "csv")
    assert (status, _cells(out)) == (0, _PAIRS)
    assert f"{_PAIRS - measured} of {_PAIRS} pairs are left" in err
    assert len(home.asked) - first_run == _PAIRS - measured
    assert not home.partial.exists()
    status, out, _ = home.run("matrix", "--format", "csv")
    assert (status, _cells(out)) == (0, _PAIRS)
    assert len(home.asked) - first_run == _PAIRS - measured, "a whole matrix is read from the store"


def test_two_interruptions_and_a_kill_lose_no_more_than_what_was_under_way(home: _Home) -> None:
    home.break_off(signal.SIGINT, 8, "matrix", "--measure")
    home.break_off(signal.SIGINT, 8, "matrix", "--measure")
    home.break_off(signal.SIGKILL, 3, "matrix", "--measure")
    status, out, _ = home.run("matrix", "--measure", "--format", "csv")
    assert (status, _cells(out)) == (0, _PAIRS)
    assert len(set(home.asked)) == _PAIRS
    assert len(home.asked) < 2 * _PAIRS


def test_afresh_measures_everything_again(home: _Home) -> None:
    home.break_off(signal.SIGINT, 10, "matrix", "--measure")
    before = len(home.asked)
    status, out, _ = home.run("matrix", "--afresh", "--format", "csv")
    assert (status, _cells(out), len(home.asked) - before) == (0, _PAIRS, _PAIRS)


def test_other_cpus_or_a_damaged_file_are_no_reason_to_go_on(home: _Home) -> None:
    home.break_off(signal.SIGINT, 10, "matrix", "--measure")
    before = len(home.asked)
    status, out, _ = home.run("matrix", "--measure", "--cpus", "0-3", "--format", "csv")
    assert (status, _cells(out), len(home.asked) - before) == (0, 6, 6)
    home.partial.write_bytes(os.urandom(3000))
    before = len(home.asked)
    status, out, _ = home.run("matrix", "--measure", "--format", "csv")
    assert (status, _cells(out), len(home.asked) - before) == (0, _PAIRS, _PAIRS)


def test_a_matrix_goes_on_where_a_daemon_has_the_store(home: _Home) -> None:
    """Another process holds the store: results go to the partial file alone."""
    code = (
        "import time; from pathlib import Path; from toposcope.store import Store\n"
        f"with Store(Path({str(home.folder / 'toposcope')!r})): print('ready', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        status, out, err = home.break_off(signal.SIGINT, 10, "matrix", "--measure", "--format", "csv")
        assert status == 130
        assert "results are not stored" in err
        measured, before = _cells(out), len(home.asked)
        status, out, _ = home.run("matrix", "--measure", "--format", "csv")
        assert (status, _cells(out)) == (0, _PAIRS)
        assert len(home.asked) - before == _PAIRS - measured
    finally:
        holder.kill()
        holder.communicate()


def test_ctrl_c_of_measure_prints_and_stores_what_was_measured(home: _Home) -> None:
    arguments = ("measure", "cacheline_cas", "--cpus", "0-7", "--format", "json")
    status, out, err = home.break_off(signal.SIGINT, 10, *arguments)
    found = json.loads(out)
    assert status == 130
    assert 9 <= len(found) < 2 * _PAIRS
    # The stand-in's numbers are sound; whether the CPUs were busy meanwhile is this machine's own affair.
    assert {result["verdict"] for result in found} <= {"ok", "noisy"}
    assert f"interrupted: {len(found)} of" in err
    status, out, _ = home.run("export")
    assert status == 0
    stored = {row["id"] for row in map(json.loads, out.splitlines()) if "id" in row}
    assert {result["id"] for result in found} <= stored
