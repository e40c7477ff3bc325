"""On a Python without a GIL the programs run, say what it is, and the claims about the GIL come out so."""

from __future__ import annotations

import shutil

import pytest

import runtime_runs as runs
from toposcope import claims
from toposcope.measure.wire import Line
from toposcope.topology.model import Machine

FREE_THREADED = next(filter(None, map(shutil.which, ("python3.14t", "python3.13t"))), None)
# Every model that is made differently without a GIL, or whose modules might not be safe without one.
PROGRAMS = [
    ("python_spawn", {"model": "thread"}),
    ("python_spawn", {"model": "process_spawn"}),
    ("python_switch", {"model": "thread"}),
    ("python_switch", {"model": "asyncio_task"}),
    ("python_channel", {"channel": "queue"}),
    ("python_channel", {"channel": "mp_queue"}),
    ("python_channel", {"channel": "shared_memory"}),
    ("python_workload", {"work": "bfs", "model": "thread"}),
    ("python_workload", {"work": "pagerank", "model": "thread"}),
    ("python_io", {"model": "thread", "connections": "10"}),
    ("python_io", {"model": "asyncio", "connections": "10"}),
    ("crash_containment", {"model": "thread"}),
    ("crash_containment", {"model": "process"}),
]

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        FREE_THREADED is None, reason="no free-threaded Python on PATH (python3.14t, python3.13t)"
    ),
]


def run(probe: str, **arguments: str) -> Line:
    assert FREE_THREADED is not None
    return runs.run(probe, interpreter=FREE_THREADED, budget_ms=50, **arguments)


@pytest.mark.parametrize(("probe", "variant"), PROGRAMS)
def test_the_programs_run_and_say_that_there_is_no_gil(probe: str, variant: dict[str, str]) -> None:
    line = run(probe, **variant)
    assert line.status == "ok", line.reason
    assert line.facts["gil"] == "disabled"
    assert line.facts["free_threaded_build"] is True


NEEDS_TWO_CPUS = pytest.mark.skipif(
    len(runs.usable_cpus()) < 2, reason="one CPU: nothing can run in parallel"
)


@NEEDS_TWO_CPUS
def test_a_gil_that_was_switched_on_is_seen() -> None:
    line = runs.run("python_switch", {"PYTHON_GIL": "1"}, interpreter=str(FREE_THREADED), model="thread")
    assert line.facts["gil"] == "enabled"
    assert line.facts["free_threaded_build"] is True


@NEEDS_TWO_CPUS
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("gil", "verdict"), [("0", "refuted"), ("1", "confirmed")])
def test_its_threads_are_parallel_unless_the_gil_is_switched_on(gil: str, verdict: str) -> None:
    models = [{"model": model, "work": "python"} for model in ("thread", "process_fork", "asyncio_task")]
    series = runs.alternate(
        "python_scaling",
        models,
        environment={"PYTHON_GIL": gil},
        interpreter=str(FREE_THREADED),
        budget_ms=50,
    )
    machine = Machine(is_this_system=True, online_cpus=runs.usable_cpus())
    found = {claim.claim: claim for claim in claims.judge(series, machine)}
    claim = found["gil_threads_not_parallel"]
    assert claim.verdict == verdict, claim
    assert ("no GIL" if gil == "0" else "a GIL") in claim.sentence
    assert found["coroutines_not_parallel"].verdict == "confirmed"


@NEEDS_TWO_CPUS
@pytest.mark.parametrize("work", ["python", "native"])
def test_its_subinterpreters_run_at_once(work: str) -> None:
    line = run("python_scaling", model="subinterpreter", work=work)
    assert line.status == "ok", line.reason
    assert sorted(line.samples["parallelism_ratio"][0])[6] > 1.3
