"""Effects that were planted into the interpreter come out of the claims as planted."""

from __future__ import annotations

import pytest

import runtime_runs as runs
from toposcope import claims
from toposcope.topology.model import Machine

SPAWN = [{"model": "thread"}, {"model": "process_fork"}]
CHANNEL = [{"channel": c, "size_bytes": "64"} for c in ("queue", "simple_queue", "pipe", "mp_queue")]
SCALING = [{"model": m, "work": "python"} for m in ("thread", "process_fork", "asyncio_task")]

pytestmark = pytest.mark.live


def standing(claim: str, series: list[claims.Series]) -> claims.Claim:
    machine = Machine(is_this_system=True, online_cpus=runs.usable_cpus())
    return next(one for one in claims.judge(series, machine) if one.claim == claim)


def test_a_thread_is_cheaper_than_a_process_unless_it_is_slowed() -> None:
    claim = standing("thread_create_cheaper", runs.alternate("python_spawn", SPAWN, budget_ms=50))
    assert claim.verdict == "confirmed", claim
    assert claim.ratio is not None
    assert claim.ratio > 5
    slowed = runs.alternate("python_spawn", SPAWN, environment=runs.planted("slow_thread"), budget_ms=50)
    assert standing("thread_create_cheaper", slowed).verdict == "refuted"


@pytest.mark.parametrize(
    ("plant", "verdict"), [("slow_process_channel", "confirmed"), ("slow_thread_channel", "refuted")]
)
def test_a_busy_wait_in_a_channel_is_seen(plant: str, verdict: str) -> None:
    series = runs.alternate("python_channel", CHANNEL, environment=runs.planted(plant), budget_ms=100)
    claim = standing("thread_communication_faster", series)
    assert claim.verdict == verdict, claim


NEEDS_TWO_CPUS = pytest.mark.skipif(
    len(runs.usable_cpus()) < 2, reason="one CPU: nothing can run in parallel"
)


@NEEDS_TWO_CPUS
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("plant", "gil"), [("", "confirmed"), ("free_threads", "refuted")])
def test_threads_that_need_no_gil_are_seen(plant: str, gil: str) -> None:
    """Also on CPUs that others use, and on a guest's that are siblings of one core."""
    environment = runs.planted(plant) if plant else None
    series = runs.alternate("python_scaling", SCALING, environment=environment, budget_ms=50)
    claim = standing("gil_threads_not_parallel", series)
    assert claim.verdict == gil, claim
    coroutines = standing("coroutines_not_parallel", series)
    assert coroutines.verdict == "confirmed", coroutines
