"""A visit whose program misbehaves costs just that visit, and its reason can be counted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from toposcope.clock import SystemClock
from toposcope.errors import ToposcopeError
from toposcope.measure import runner
from toposcope.measure.lock import measuring_lock
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.measure.session import Session
from toposcope.measure.visit import Surveyed, Visitor
from toposcope.results import Identity, Target
from toposcope_probes.contract import Measure, ProbeSpec, TargetKind

_SPEC = ProbeSpec(
    "cacheline_cas",
    "Help.",
    "operation",
    TargetKind.PAIR,
    (Measure("latency_ns", "help"),),
    deadline_ms=1000.0,
)


def _line(first: int, second: int, **changes: object) -> str:
    good = {
        "schema_version": 1, "kernel": "cacheline_cas", "cpus": [first, second], "status": "ok",
        "samples": {"latency_ns": [[26.0, 26.1, 26.2]] * 16}, "batches_kept": 48,
        "batches_dropped": {"context_switch": 2}, "checks": {"frequency_ratio": 1.0},
    }  # fmt: skip
    return json.dumps(good | changes)


def _task(first: int = 0, second: int = 1) -> Task:
    return Task(ProbeChoice(_SPEC, 300.0, 3600.0), Identity("cacheline_cas", Target((first, second)), {}), 0)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for toposcope-kernels, to be written by the test as a shell script."""
    path = tmp_path / "kernels"
    monkeypatch.setattr(runner, "kernels_path", lambda: path)
    return path


def _visit(
    program: Path, script: str, tasks: list[Task] | None = None, steal_ms: list[float] | None = None
) -> list[Surveyed]:
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    readings = iter(steal_ms or [])
    last = (steal_ms or [0.0])[-1]
    visitor = Visitor(SystemClock(), steal_ms=lambda _: next(readings, last))
    return asyncio.run(visitor.visit_together(tasks or [_task()]))


def test_a_good_line_becomes_a_visit_with_the_runner_s_duration(program: Path) -> None:
    (found,) = _visit(program, f"echo '{_line(0, 1)}'\nsleep 0.1")
    assert (found.visit.verdict, found.fault) == ("ok", "")
    assert found.visit.measures["latency_ns"].estimate == 26.0
    assert found.visit.duration_s >= 0.1
    assert found.visit.batches_dropped == {"context_switch": 2}


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("kill -9 $$", "signal_9"),
        ("kill -11 $$", "signal_11"),
        ("kill -STOP $$", "deadline"),
        ("sleep 600", "deadline"),
        ("echo '{broken'", "garbage"),
        ("head -c 3000 /dev/urandom", "garbage"),
        ("exit 0", "no_result"),
        ("echo unknown option >&2; exit 2", "exit_2"),
        (f"echo '{_line(4, 5)}'", "garbage"),
        (f"echo '{_line(0, 1)}'; echo '{_line(0, 1)}'", "too_many_results"),
        (f"echo '{_line(0, 1)}'; kill -9 $$", "signal_9"),
        (f"echo '{_line(0, 1, schema_version=9)}'", "garbage"),
    ],
)
def test_every_misbehaviour_is_one_failed_visit_with_its_reason(
    program: Path, script: str, fault: str
) -> None:
    (found,) = _visit(program, script)
    assert (found.visit.verdict, found.fault) == ("failed", fault)
    assert found.visit.reason.startswith(fault)
    assert found.visit.measures == {}
    assert found.visit.duration_s < 10


def test_a_program_s_complaint_is_part_of_the_reason(program: Path) -> None:
    (found,) = _visit(program, "echo 'cpus: 9 is offline' >&2; exit 2")
    assert found.visit.reason == "exit_2: cpus: 9 is offline"


@pytest.mark.parametrize(
    ("complaint", "reason"),
    [
        ("Traceback (most recent call last):\n  File \"/a/b.py\", line 3\nValueError: no", "exit_1: ValueError: no"),
        ("Timeout (0:00:30)!\nThread 0x1 (most recent call first):\n  File \"/a/b.py\", line 315", "exit_1: Timeout (0:00:30)!"),
        ("  File \"/a/b.py\", line 315\n\n", "exit_1"),
    ],
)  # fmt: skip
def test_a_stack_is_no_part_of_the_reason(program: Path, complaint: str, reason: str) -> None:
    (found,) = _visit(program, f"cat >&2 <<'END'\n{complaint}\nEND\nexit 1")
    assert found.visit.reason == reason


def test_what_the_program_calls_failed_or_not_applicable_is_passed_on(program: Path) -> None:
    (absent,) = _visit(
        program, f"echo '{_line(0, 1, status='not_applicable', reason='no huge pages', samples={})}'"
    )
    assert (absent.visit.verdict, absent.visit.reason, absent.fault) == (
        "not_applicable",
        "no huge pages",
        "",
    )
    (failed,) = _visit(program, f"echo '{_line(0, 1, status='failed', reason='ends never met', samples={})}'")
    assert (failed.visit.verdict, failed.fault) == ("failed", "program_failed")


def test_steal_during_the_visit_makes_it_noisy(program: Path) -> None:
    (found,) = _visit(program, f"echo '{_line(0, 1)}'", steal_ms=[100.0, 120.0])
    assert (found.visit.verdict, found.visit.reason) == ("noisy", "the hypervisor took 20 ms from these CPUs")


@pytest.mark.parametrize(
    ("misbehaviour", "fault"),
    [("kill -9 $$", "signal_9"), ("kill -STOP $$", "deadline"), ("exit 0", "no_result")],
)
def test_of_several_targets_a_crash_costs_the_one_that_was_at_work(
    program: Path, misbehaviour: str, fault: str
) -> None:
    tasks = [_task(0, 1), _task(0, 2), _task(0, 3), _task(0, 4)]
    found = _visit(program, f"echo '{_line(0, 1)}'; echo '{_line(0, 2)}'; {misbehaviour}", tasks)
    assert [each.visit.verdict for each in found] == ["ok", "ok", "failed"]
    assert [each.fault for each in found] == ["", "", fault]


def test_garbage_among_many_lines_costs_the_target_whose_line_it_is(program: Path) -> None:
    tasks = [_task(0, 1), _task(0, 2), _task(0, 3)]
    found = _visit(program, f"echo '{_line(0, 1)}'; echo '{{broken'; echo '{_line(0, 3)}'", tasks)
    assert [each.visit.verdict for each in found] == ["ok", "failed", "ok"]
    assert [each.fault for each in found] == ["", "garbage", ""]


def test_a_session_goes_on_after_the_target_that_killed_its_program(program: Path) -> None:
    """The stand-in dies at pair 0-2 wherever it stands: the other three pairs are measured all the same."""
    program.write_text(
        "#!/bin/sh\ncase $2 in pairs=*) list=${2#pairs=} ;; *) list=$(echo ${2#cpus=} | tr , :) ;; esac\n"
        "for pair in $(echo $list | tr , ' '); do\n"
        "  [ $pair = 0:2 ] && kill -9 $$\n"
        f"  echo '{_line(0, 77)}' | sed \"s/77/${{pair#0:}}/\"\n"
        "done\n"
    )
    program.chmod(0o755)
    kept: list[tuple[tuple[int, ...], str]] = []
    session = Session(
        Visitor(SystemClock(), steal_ms=lambda _: 0.0),
        SystemClock(),
        lambda task, visit: kept.append((task.identity.target.cpus, visit.verdict)),
    )
    asyncio.run(session.measure([[_task(0, second) for second in (1, 2, 3, 4)]]))
    assert kept == [((0, 1), "ok"), ((0, 2), "failed"), ((0, 3), "ok"), ((0, 4), "ok")]


def test_steal_spoils_the_pairs_measured_meanwhile_and_not_those_after_it(program: Path) -> None:
    tasks = [_task(0, 1), _task(0, 2)]
    script = f"echo '{_line(0, 1)}'; sleep 0.1; echo '{_line(0, 2)}'; sleep 0.1"
    steal_ms = [100.0, 110.0, 110.0, 110.0]  # before, after the first look, later
    found = _visit(program, f"sleep 0.1; {script}", tasks, steal_ms)
    assert [each.visit.verdict for each in found] == ["noisy", "ok"]


def test_a_missing_program_is_an_error_and_no_result(program: Path) -> None:
    visitor = Visitor(SystemClock(), steal_ms=lambda _: 0.0)
    with pytest.raises(ToposcopeError, match="can't be started"):
        asyncio.run(visitor.visit(_task()))


def test_two_measurers_take_turns_and_the_second_says_that_it_waits() -> None:
    order: list[str] = []
    name = f"\0toposcope.test.{id(order)}"

    async def hold(label: str, started: asyncio.Event | None = None) -> None:
        async with measuring_lock(lambda: order.append(f"{label} waits"), name):
            order.append(f"{label} begins")
            if started is not None:
                started.set()
            await asyncio.sleep(0.05)
            order.append(f"{label} ends")

    async def both() -> None:
        started = asyncio.Event()
        first = asyncio.create_task(hold("first", started))
        await started.wait()
        await hold("second")
        await first

    asyncio.run(both())
    assert order == ["first begins", "second waits", "first ends", "second begins", "second ends"]


@pytest.mark.parametrize(("busy", "verdict"), [({1}, "noisy"), ({5}, "ok"), (set(), "ok")])
def test_a_session_asks_once_who_is_busy_where_a_probe_feels_it(
    program: Path, busy: set[int], verdict: str
) -> None:
    program.write_text(f"#!/bin/sh\necho '{_line(0, 1)}'")
    program.chmod(0o755)
    asked: list[str] = []

    async def look() -> frozenset[int]:
        asked.append("look")
        return frozenset(busy)

    plain = _task()
    feeling = Task(
        ProbeChoice(replace(_SPEC, feels_load=True), 300.0, 3600.0), Identity("wakeup", Target((0, 1)), {}), 0
    )
    session = Session(
        Visitor(SystemClock(), steal_ms=lambda _: 0.0), SystemClock(), lambda *_: None, look=look
    )
    asyncio.run(session.measure([[plain]]))
    assert asked == []
    asyncio.run(session.measure([[feeling], [feeling]]))
    assert asked == ["look"]
    assert [visit.verdict for _, visits in session.visited() for visit in visits] == ["ok", verdict, verdict]
