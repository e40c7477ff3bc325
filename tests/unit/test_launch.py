"""Starting under advice: what is set, what is left alone, and that the command is all that remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from toposcope import launch
from toposcope.advise.answer import Placement
from toposcope.launch import Start, StartError, inherited, start_of

CPU = min(os.sched_getaffinity(0))


def placement(**changes: Any) -> Placement:
    values: dict[str, Any] = {
        "cpus": (3, 1), "nodes": (0,), "workers": 2, "model": "threads", "memory_policy": "bind",
        "expected_gain_ratio": None, "interval": None, "cost_ns": None, "confidence": 0.5, "reasons": ("why",),
        "evidence": (),
    }  # fmt: skip
    return Placement(**{**values, **changes})


def become(start: str, *command: str) -> subprocess.CompletedProcess[str]:
    code = f"from toposcope import launch\nlaunch.become({list(command)!r}, {start})"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


def test_threads_get_openmp_places_in_binding_order() -> None:
    assert start_of(placement(), {}).environment == {
        "OMP_NUM_THREADS": "2", "OMP_PLACES": "{3},{1}", "OMP_PROC_BIND": "close",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mine", "added"),
    [
        ({"OMP_NUM_THREADS": "1"}, {"OMP_PLACES", "OMP_PROC_BIND"}),
        ({"GOMP_CPU_AFFINITY": "0"}, {"OMP_NUM_THREADS"}),
        ({"OMP_PLACES": "cores", "OMP_NUM_THREADS": "9"}, set()),
    ],
)
def test_the_users_own_words_win(mine: dict[str, str], added: set[str]) -> None:
    assert set(start_of(placement(), mine).environment) == added


def test_several_processes_are_not_bound_to_the_same_places() -> None:
    assert start_of(placement(model="processes"), {}).environment == {}


def test_nodes_are_named_only_where_the_policy_takes_them() -> None:
    assert start_of(placement(), {}).nodes == (0,)
    assert start_of(placement(memory_policy="local"), {}).nodes == ()


def test_the_sentence_says_all_that_is_set() -> None:
    sentence = start_of(placement(memory_policy="interleave", nodes=(1, 0)), {"OMP_PLACES": "x"}).sentence()
    assert sentence == "CPUs 1,3, memory policy interleave on nodes 0-1, OMP_NUM_THREADS=2"
    assert launch.UNCHANGED.sentence() == "unchanged"


def test_the_command_has_affinity_environment_and_its_own_exit_status() -> None:
    start = f"launch.Start(({CPU},), environment={{'MARK': 'here'}})"
    done = become(start, "sh", "-c", "taskset -pc $$ | sed 's/.*: //'; echo $MARK; exit 7")
    assert (done.returncode, done.stdout.split()) == (7, [str(CPU), "here"])


def test_the_command_is_this_process_and_dies_of_its_signal() -> None:
    assert become("launch.UNCHANGED", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_signals_that_python_ignores_are_not_ignored_by_the_command() -> None:
    done = become("launch.UNCHANGED", "grep", "SigIgn", "/proc/self/status")
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


@pytest.mark.parametrize(("command", "status"), [("/nonexistent", 127), ("/etc/passwd", 126), ("/", 126)])
def test_what_cannot_be_started_is_one_sentence_with_the_usual_status(command: str, status: int) -> None:
    with pytest.raises(StartError) as caught:
        _become_here(command)
    assert caught.value.exit_status == status
    assert "\n" not in caught.value.message


def _become_here(command: str) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGXFSZ)]
    try:
        launch.become([command], launch.UNCHANGED)
    finally:
        signal.signal(signal.SIGPIPE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])


def test_a_cpu_outside_the_cpuset_is_refused_and_nothing_stays_changed() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(StartError, match="can't be used by this process"), inherited(Start((4095,))):
        pass
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(("policy", "mode"), [("bind", 2), ("interleave", 3), ("local", 4)])
def test_every_memory_policy_reaches_the_command(policy: str, mode: int) -> None:
    code = "from toposcope import launch; print(launch.get_memory_policy())"
    nodes = "()" if policy == "local" else "(0,)"
    done = become(f"launch.Start(None, {policy!r}, {nodes})", sys.executable, "-c", code)
    if "MemoryPolicyError" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.stdout.strip() == f"({mode}, {0 if policy == 'local' else 1})", done.stderr


def test_children_inherit_affinity_and_memory_policy_and_the_caller_gets_its_own_back() -> None:
    try:
        before = (os.sched_getaffinity(0), launch.get_memory_policy())
        with inherited(Start((CPU,), "bind", (0,))):
            code = "import os; from toposcope import launch; print(os.sched_getaffinity(0), launch.get_memory_policy())"
            child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    except launch.MemoryPolicyError as refusal:
        pytest.skip(refusal.message)
    assert child.stdout.strip() == f"{{{CPU}}} (2, 1)"
    assert (os.sched_getaffinity(0), launch.get_memory_policy()) == before


def test_a_node_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(launch.MemoryPolicyError, match="can't be set: Invalid argument") as caught, \
            inherited(Start((CPU,), "bind", (900,))):  # fmt: skip
        pass
    assert caught.value.hint
