"""What holds for every runtime program: its line, its arguments, its limits and its end."""

from __future__ import annotations

import itertools
import platform
import statistics
import subprocess
import sys

import pytest

import runtime_runs as runs
import toposcope_probes
from toposcope.measure.wire import Line
from toposcope_probes import find
from toposcope_probes.contract import ProbeSpec, Program

SPECS = [spec for spec in toposcope_probes.load_all() if spec.program is Program.RUNTIME]
HEAVY = {"connections": ("10",), "size_bytes": ("64", "65536")}


def variants(spec: ProbeSpec) -> list[dict[str, str]]:
    keys = list(spec.variants)
    values = (HEAVY.get(key, spec.variants[key]) for key in keys)
    return [dict(zip(keys, each, strict=True)) for each in itertools.product(*values)]


ALL = [pytest.param(s, v, id=f"{s.name}-{'-'.join(v.values())}") for s in SPECS for v in variants(s)]


def test_only_crashes_are_made_on_request_alone() -> None:
    assert {"python_spawn", "python_switch", "python_scaling", "crash_containment"} <= {s.name for s in SPECS}
    assert [s.name for s in SPECS if s.on_request_only] == ["crash_containment"]


@pytest.mark.live
@pytest.mark.parametrize(("spec", "variant"), ALL)
def test_every_variant_gives_its_line(spec: ProbeSpec, variant: dict[str, str]) -> None:
    line = runs.run(spec.name, budget_ms=20, **variant)
    assert line.kernel == spec.name
    assert line.variant == variant
    assert line.cpus == runs.usable_cpus()[:2]
    if line.status == "not_applicable":
        assert line.reason.startswith(("not installed", "interpreters of one process")), line.reason
        return
    assert line.status == "ok", line.reason
    assert spec.measures[0].name in line.samples
    assert set(line.samples) <= {measure.name for measure in spec.measures}
    assert all(len(groups) == len(line.groups) == 1 for groups in line.samples.values())
    assert all(
        value > 0 for name in line.samples if name != "survivors_ratio" for value in line.samples[name][0]
    )
    check_who_was_measured(line)
    assert runs.visit_of(spec.name, line).measures


@pytest.mark.live
@pytest.mark.parametrize(
    ("variant", "at_least"),
    [
        ("model=thread work=native", 1.3),
        ("model=process_fork work=python", 1.3),
        ("model=asyncio_task work=python", 0.5),
    ],
)
def test_no_more_workers_are_under_way_than_there_are(variant: str, at_least: float) -> None:
    line = runs.run("python_scaling", budget_ms=20, **dict(word.split("=") for word in variant.split()))
    count = len(runs.usable_cpus()[:2])
    middle = statistics.median(line.samples["parallelism_ratio"][0])
    assert at_least * count / 2 <= middle <= 1.05 * count


FORKS = {"mp_queue", "pipe", "shared_memory", "process", "process_fork"}
LIBRARIES = {"greenlet", "gevent", "tornado", "uvloop"}


def check_who_was_measured(line: Line) -> None:
    """Interpreter, version, GIL or not, start method and library versions, in every row."""
    facts = line.facts
    assert facts["version"] == platform.python_version()
    assert facts["implementation"] == platform.python_implementation()
    assert facts["interpreter"]
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert facts["gil"] == ("enabled" if has_gil else "disabled")
    assert facts["free_threaded_build"] in (True, False)
    worker = line.variant.get("model") or line.variant["channel"]
    method = (
        "fork"
        if worker in FORKS or line.kernel in ("python_io", "python_affinity", "crash_containment")
        else None
    )
    if worker in ("process_forkserver", "process_spawn"):
        method = worker.partition("_")[2]
    assert facts["start_method"] == method
    wanted = LIBRARIES & {worker}
    assert wanted <= set(facts["libraries"]) <= LIBRARIES
    assert all(facts["libraries"].values())


@pytest.mark.parametrize(
    ("probe", "variant"),
    [("python_spawn", "greenlet"), ("python_switch", "gevent"), ("python_io", "gevent"),
     ("python_io", "tornado"), ("python_io", "uvloop")],
)  # fmt: skip
def test_without_the_library_it_is_not_applicable(probe: str, variant: str) -> None:
    line = runs.run(probe, runs.planted("nothing_installed"), model=variant)
    assert (line.status, line.reason.partition(":")[0]) == ("not_applicable", "not installed")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_cpu_that_does_not_exist_is_a_failure_with_a_reason(spec: ProbeSpec) -> None:
    line = runs.run(spec.name, cpus="4095")
    assert line.status == "failed"
    assert "4095" in line.reason


@pytest.mark.parametrize("word", ["nonsense", "colour=blue", "cpus=a", "budget_ms=long"])
def test_arguments_that_nobody_knows_are_refused(word: str) -> None:
    done = subprocess.run(
        [sys.executable, str(runs.RUNTIME / "python_spawn.py"), word],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert word.partition("=")[2] in done.stderr


def test_too_few_descriptors_cost_a_result_not_a_crash() -> None:
    line = runs.run("python_io", connections=1000, files_limit_count=200)
    assert line.status == "not_applicable"
    assert "open files" in line.reason


def test_too_few_threads_cost_a_result_not_a_crash() -> None:
    """Few stacks fit into an address space of half a gibibyte; RLIMIT_NPROC doesn't bind root."""
    line = runs.run("python_io", model="thread", connections=1000, memory_limit_bytes=512 << 20)
    assert (line.status, line.reason) == ("not_applicable", "the server may not start 1000 threads")


@pytest.mark.parametrize("model", ["thread", "process_fork", "process_spawn", "asyncio_task"])
def test_too_little_memory_costs_a_result_not_a_crash(model: str) -> None:
    line = runs.run("python_spawn", model=model, memory_limit_bytes=1 << 20)
    assert line.status == "failed"
    assert line.reason


@pytest.mark.parametrize("probe", ["python_spawn", "python_switch", "python_channel", "python_io"])
def test_the_deadline_ends_it_in_time(probe: str) -> None:
    assert find(probe) is not None
    line = runs.run(probe, budget_ms=20_000, deadline_ms=300)
    assert (line.status, line.reason) == ("failed", "deadline")
