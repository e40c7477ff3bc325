"""The commands that measure and read without a daemon, as users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live
_TWO_CPUS = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pairs need two CPUs")
# An address where no daemon answers: what runs on this machine besides the tests must not matter.
_NOBODY = {"TOPOSCOPE_URL": ""}


def _toposcope(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | _NOBODY | {"XDG_STATE_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "toposcope", *arguments], capture_output=True, text=True, timeout=60, check=False,
        env=environment,
    )  # fmt: skip


def _measured(home: Path, *arguments: str) -> list[dict[str, Any]]:
    """The results of a `measure`, again where the host was too busy for two CPUs to meet at all."""
    for _ in range(5):
        answer = _toposcope(home, "measure", "cacheline_cas", *arguments, "--format", "json")
        assert answer.returncode == 0, answer.stderr
        results: list[dict[str, Any]] = json.loads(answer.stdout)
        if all(result["verdict"] != "failed" for result in results):
            break
    return results


def _first_two() -> str:
    return ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))


@_TWO_CPUS
def test_measure_gives_a_result_of_the_fixed_form_and_stores_it(tmp_path: Path) -> None:
    results = _measured(tmp_path, "--cpus", _first_two())
    assert [result["variant"] for result in results] == [{"model": "thread"}, {"model": "process"}]
    for result in results:
        assert result["probe"] == "cacheline_cas"
        assert 0 < result["latency_ns_min"] <= result["latency_ns_median"] <= result["latency_ns_p90"]
        assert result["latency_ns_low"] <= result["latency_ns_estimate"] <= result["latency_ns_high"]
        assert result["duration_s"] > 0
        assert result["visits"] == 1
        assert set(result["batches_dropped"]) >= {"context_switch", "migration"}
    assert (tmp_path / "toposcope" / "results.db").exists()


@_TWO_CPUS
def test_the_runner_s_clock_and_the_kernel_s_work_agree(tmp_path: Path) -> None:
    """The time the batches took has to fit into the time the runner saw the process live."""
    results = _measured(tmp_path)
    for result in results:
        assert result["checks"]["elapsed_ns"] < result["duration_s"] * 1e9


@_TWO_CPUS
def test_a_matrix_is_measured_once_and_then_read_from_the_store(tmp_path: Path) -> None:
    written = _toposcope(tmp_path, "matrix", "--measure", "--format", "csv")
    assert written.returncode == 0, written.stderr
    rows = [line.split(",") for line in written.stdout.splitlines()]
    assert rows[0][0] == "cpu"
    assert [row[0] for row in rows[1:]] == rows[0][1:]
    (tmp_path / "m.csv").write_text(written.stdout)
    replayed = json.loads(
        _toposcope(tmp_path, "matrix", "--matrix", str(tmp_path / "m.csv"), "--format", "json").stdout
    )
    assert replayed["mode"] == "replay"
    assert replayed["cells"][0][1] == pytest.approx(float(rows[1][2]))


@pytest.mark.parametrize(
    ("arguments", "expected", "status"),
    [
        (("measure", "no_such_probe"), "there is no probe 'no_such_probe'", 2),
        (("measure", "--cpus", "4095"), "there is no CPU 4095", 2),
        (("measure", "--cpus", "x-y"), "is not a CPU list", 2),
        (("measure", "cacheline_cas", "--cpus", "0"), "cacheline_cas measures pairs of CPUs", 2),
        (("matrix", "memory_latency"), "'memory_latency' is not a probe of CPU pairs", 2),
        (("matrix", "--matrix", "/nonexistent.csv"), "can't read matrix /nonexistent.csv: No such file", 2),
        (("check-config", "/nonexistent.yaml"), "can't be read: No such file", 2),
        (("status", "--url", "http://127.0.0.1:1"), "can't be reached", 1),
        (("status", "--url", "file:///etc/passwd"), "is not an http:// or https:// address", 1),
    ],
)
def test_bad_requests_get_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], expected: str, status: int
) -> None:
    answer = _toposcope(tmp_path, *arguments)
    assert expected in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.returncode == status
    assert answer.stdout == ""


def test_a_cpu_outside_the_cpuset_is_refused(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("needs two CPUs, one of them to be taken away")
    command = [sys.executable, "-m", "toposcope", "measure", "--cpus", str(cpus[1])]
    answer = subprocess.run(
        ["taskset", "-c", str(cpus[0]), *command], capture_output=True, text=True, check=False
    )
    assert f"CPU {cpus[1]} is outside this process's cpuset" in answer.stderr
    assert answer.returncode == 2
    alone = subprocess.run(
        ["taskset", "-c", str(cpus[0]), *command[:3], "measure", "cacheline_cas"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "there is nothing to measure for cacheline_cas" in alone.stderr
    assert "Traceback" not in alone.stderr


def test_reading_commands_speak_json(tmp_path: Path) -> None:
    for arguments in (("topology",), ("doctor",), ("measure", "--list")):
        answer = _toposcope(tmp_path, *arguments, "--format", "json")
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)


def test_check_config_accepts_the_reference(tmp_path: Path) -> None:
    reference = Path(__file__).resolve().parents[2] / "config.yaml"
    assert _toposcope(tmp_path, "check-config", str(reference)).stdout == f"{reference} is valid\n"
