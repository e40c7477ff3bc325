"""The runner: deadlines, garbage, floods, grandchildren; nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toposcope.errors import ToposcopeError
from toposcope.measure import runner


def _run(code: str, deadline_s: float = 20.0) -> tuple[runner.Outcome, list[bytes]]:
    lines: list[bytes] = []
    return asyncio.run(
        runner.run([sys.executable, "-c", code], deadline_s=deadline_s, on_line=lines.append)
    ), lines


def test_lines_arrive_whole_and_the_cost_is_measured_from_outside() -> None:
    code = "import sys, time\nend = time.process_time() + 0.2\nprint('one')\nwhile time.process_time() < end: pass\nprint('two')"
    outcome, lines = _run(code)
    assert lines == [b"one", b"two"]
    assert outcome.fault == ""
    assert 0.2 <= outcome.cpu_s <= outcome.duration_s + 0.05


def _run_with_pauses(code: str, pause_s: float) -> tuple[runner.Outcome, list[list[bytes]]]:
    """What was heard between one pause and the next, and after the last."""
    heard: list[list[bytes]] = [[]]

    def hear(line: bytes) -> None:
        heard[-1].append(line)

    outcome = asyncio.run(
        runner.run(
            [sys.executable, "-c", code],
            deadline_s=20.0,
            on_line=hear,
            on_pause=lambda: heard.append([]),
            pause_s=pause_s,
        )
    )
    return outcome, heard


def test_lines_wait_in_the_pipe_while_the_reader_pauses() -> None:
    code = "import time\nfor n in range(40):\n    print(n, flush=True)\n    time.sleep(0.005)"
    outcome, heard = _run_with_pauses(code, 10.0)
    assert outcome.fault == ""
    assert [line for lines in heard for line in lines] == [str(n).encode() for n in range(40)]
    assert len(heard) <= 3, "the first, and at the end of the program all others"


def test_pauses_do_not_save_a_program_that_floods() -> None:
    outcome, _ = _run_with_pauses("import os\nwhile True: os.write(1, b'x' * 65535 + b'\\n')", 0.02)
    assert outcome.fault == "too_much_output"


def test_a_program_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pid = os.fork()\nif pid == 0:\n    open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "print('started', flush=True)\ntime.sleep(600)"
    )
    outcome, lines = _run(code, deadline_s=2.0)
    assert (outcome.fault, outcome.timed_out) == ("deadline", True)
    assert lines[:1] == [b"started"]
    assert outcome.duration_s < 10
    grandchild = int(pid_file.read_text())
    _wait_until(lambda: not _alive(grandchild))


def _wait_until(happened: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < end_s, "it did not happen within 5 s"
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", f"signal_{int(signal.SIGSEGV)}"),
        ("raise SystemExit(3)", "exit_3"),
        ("import os, sys\nwhile True: os.write(1, b'x' * 65536)", "too_much_output"),
    ],
)
def test_every_way_to_fail_has_its_name(code: str, fault: str) -> None:
    assert _run(code)[0].fault == fault


def test_complaints_are_kept_up_to_a_limit() -> None:
    outcome, _ = _run("import sys; sys.stderr.write('x' * 100000 + ' the end\\n'); sys.exit(1)")
    assert outcome.complaint.endswith("the end")
    assert len(outcome.complaint) <= 4096


def test_cancelling_kills_and_reaps(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"

    async def cancel_soon() -> None:
        task = asyncio.create_task(
            runner.run([sys.executable, "-c", code], deadline_s=60, on_line=lambda _: None)
        )
        await asyncio.to_thread(_wait_until, lambda: pid_file.exists() and bool(pid_file.read_text()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_soon())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_no_descriptor_is_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        _run("print(1)")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_missing_program_is_one_sentence() -> None:
    with pytest.raises(ToposcopeError, match="can't be started: No such file"):
        asyncio.run(runner.run(["/nonexistent/program"], deadline_s=1, on_line=lambda _: None))
