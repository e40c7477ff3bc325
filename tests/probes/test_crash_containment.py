"""Who survives a crash: siblings that are processes do, threads and coroutines do not; and no trace is left."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import runtime_runs as runs
from toposcope import claims
from toposcope.measure.wire import Line
from toposcope.topology.model import Machine

PROBE = "crash_containment"
MODELS = ("process", "thread", "asyncio_task")
LIMITS = {"budget_ms": 50, "deadline_ms": 15_000}

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]


@pytest.fixture
def folder_for_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, where every crash may write a core: the program itself has to prevent it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def crash(model: str, environment: dict[str, str] | None = None) -> Line:
    line = runs.run(PROBE, environment, model=model, **LIMITS)
    assert line.status == "ok", line.reason
    assert line.facts["signal"] == "SIGSEGV"
    return line


def test_processes_outlive_the_crash_of_a_sibling() -> None:
    (survivors,) = crash("process").samples["survivors_ratio"]
    assert len(survivors) >= 8
    # A survivor whose CPU others keep for 30 ms is taken for dead: most rounds speak, not the worst one.
    assert sorted(survivors)[len(survivors) // 2] == 1


@pytest.mark.parametrize("model", ["thread", "asyncio_task"])
def test_nothing_that_shares_the_process_outlives_a_crash(model: str) -> None:
    (survivors,) = crash(model).samples["survivors_ratio"]
    assert len(survivors) >= 8
    assert max(survivors) == 0


@pytest.mark.parametrize("model", MODELS)
def test_all_work_again_after_the_restart(model: str) -> None:
    (recoveries_ns,) = crash(model).samples["recovery_ns"]
    assert 0 < min(recoveries_ns) <= max(recoveries_ns) < LIMITS["deadline_ms"] * 1e6


def test_the_claim_rests_on_it() -> None:
    series = runs.alternate(PROBE, [{"model": model} for model in MODELS[:2]], **LIMITS)
    machine = Machine(is_this_system=True, online_cpus=runs.usable_cpus())
    (claim,) = (one for one in claims.judge(series, machine) if one.claim == "process_crash_contained")
    assert claim.verdict == "confirmed", claim


@pytest.mark.parametrize("model", MODELS)
def test_crashes_leave_neither_core_nor_process(model: str, folder_for_cores: Path) -> None:
    mark = uuid.uuid4().hex
    crash(model, {"TOPOSCOPE_TEST": mark})
    assert runs.processes_with(mark) == []
    assert list(folder_for_cores.iterdir()) == []


def test_a_core_would_have_been_seen(folder_for_cores: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith(("|", "/")) or resource.getrlimit(resource.RLIMIT_CORE)[0] == 0:
        pytest.skip("this machine writes no core into the working folder")
    with subprocess.Popen(["sleep", "30"], cwd=folder_for_cores) as victim:
        os.kill(victim.pid, signal.SIGSEGV)
    cores = list(folder_for_cores.iterdir())
    for core in cores:
        core.unlink()
    assert cores
