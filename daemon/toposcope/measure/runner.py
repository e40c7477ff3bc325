"""The only creator of processes: start, read with limits, kill at the deadline, always reap.

A program is started by posix_spawn in a process group of its own, so that whatever it forked can be ended
with it. Its end is awaited on a pidfd (pidfd_open(2)), its cost read from wait4(2): the instrument doesn't
declare its own cost. Must be used from the main thread: the programs ask for a signal when the thread that
started them ends (PR_SET_PDEATHSIG, prctl(2)).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toposcope.clock import Clock, SystemClock
from toposcope.errors import ToposcopeError

STDOUT_BYTES_MAX: Final = 32 << 20
# A longer line is no result, and putting it together would cost the square of its length.
_LINE_BYTES_MAX: Final = 2 << 20
_STDERR_BYTES_KEPT: Final = 4096
_READ_BYTES: Final = 1 << 16
# A pipe that is this full is read at once, though its reader would rather wait: it holds 64 KiB (pipe(7)).
_READ_AT_ONCE_BYTES: Final = 1 << 15

OnLine = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `exit_status` is negative for a signal, as in subprocess.

    `duration_s` runs from before exec until after the reap, on CLOCK_MONOTONIC; `cpu_s` is user and
    system time of the program and of the children that it waited for (getrusage(2)).
    """

    exit_status: int
    timed_out: bool
    too_much_output: bool
    duration_s: float
    cpu_s: float
    complaint: str

    @property
    def fault(self) -> str:
        """Why the run counts as failed, as a short reason; "" where it doesn't."""
        if self.timed_out:
            return "deadline"
        if self.too_much_output:
            return "too_much_output"
        if self.exit_status < 0:
            return f"signal_{-self.exit_status}"
        return f"exit_{self.exit_status}" if self.exit_status else ""


def kernels_path() -> Path:
    """Where `toposcope-kernels` was installed: beside `toposcope`. Raises ToposcopeError where it isn't."""
    name = "toposcope-kernels"
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent)):
        path = Path(folder) / name
        if os.access(path, os.X_OK):
            return path
    if found := shutil.which(name):
        return Path(found)
    raise ToposcopeError(f"{name} is not installed", "install the package again (`make run` does)")


async def run(
    argv: Sequence[str | Path],
    *,
    deadline_s: float,
    on_line: OnLine | None,
    deadline_is_for_each_line: bool = False,
    environment: Mapping[str, str] | None = None,
    inherits_environment: bool = False,
    around_start: contextlib.AbstractContextManager[None] | None = None,
    on_pause: Callable[[], None] | None = None,
    pause_s: float = 0.0,
    clock: Clock | None = None,
) -> Outcome:
    """Run a program to its end or to its deadline; every whole line of its stdout goes to `on_line`.

    `on_pause` is called when all lines that were there have gone to `on_line`; then those that come wait in
    the pipe for `pause_s`, since whoever reads takes a CPU from who measures.

    The deadline counts from the start, or from the last line (`deadline_is_for_each_line`). Without `on_line`
    its stdout goes to /dev/null. `environment` is added to PATH and a neutral locale, or to
    the caller's whole environment (`inherits_environment`). `around_start` is entered for the start alone:
    what it sets on the calling thread, such as affinity, the program inherits. Cancelling kills the program,
    and still reaps it. Raises ToposcopeError where it can't be started.
    """
    base = os.environ if inherits_environment else _neutral_environment()
    whole = {**base, **(environment or {})}
    around = around_start or contextlib.nullcontext()
    deadline = _Deadline(deadline_s, deadline_is_for_each_line)
    hearing = _Hearing(on_line, on_pause, pause_s)
    return await _Child(argv, deadline, hearing, whole, around, clock or SystemClock()).run()


def _neutral_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class _Hearing:
    on_line: OnLine | None
    on_pause: Callable[[], None] | None
    pause_s: float


@dataclass(slots=True)
class _Deadline:
    duration_s: float
    is_for_each_line: bool
    running: asyncio.Timeout | None = None

    def heard(self) -> None:
        """A whole line came."""
        if self.is_for_each_line and self.running is not None and not self.running.expired():
            self.running.reschedule(asyncio.get_running_loop().time() + self.duration_s)


class _Child:
    def __init__(
        self,
        argv: Sequence[str | Path],
        deadline: _Deadline,
        hearing: _Hearing,
        environment: Mapping[str, str],
        around_start: contextlib.AbstractContextManager[None],
        clock: Clock,
    ) -> None:
        self._argv = [os.fspath(word) for word in argv]
        self._deadline = deadline
        self._hearing = hearing
        self._resumption: asyncio.TimerHandle | None = None
        self._environment = environment
        self._around_start = around_start
        self._clock = clock
        self._pending = b""
        self._complaint = b""
        self._stdout_bytes = 0
        self._too_much = False

    async def run(self) -> Outcome:
        begin_s = self._clock.monotonic_s()
        with self._around_start:
            pid, out_fd, err_fd = self._spawn()
        timed_out = False
        try:
            pid_fd = os.pidfd_open(pid)
            try:
                timed_out = await self._attend(pid, pid_fd, out_fd, err_fd)
            finally:
                os.close(pid_fd)
        finally:
            status, cpu_s = self._reap(pid)
            self._read(out_fd, self._take_output)
            self._read(err_fd, self._take_complaint)
            os.close(out_fd)
            os.close(err_fd)
        return Outcome(
            exit_status=status,
            timed_out=timed_out,
            too_much_output=self._too_much,
            duration_s=self._clock.monotonic_s() - begin_s,
            cpu_s=cpu_s,
            complaint=self._complaint.decode("utf-8", "replace").strip(),
        )

    def _spawn(self) -> tuple[int, int, int]:
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.posix_spawn(
                self._argv[0],
                self._argv,
                self._environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    self._stdout_action(out_write),
                    (os.POSIX_SPAWN_DUP2, err_write, 2),
                ],
                setpgroup=0,
                setsigmask=[],
                # Python ignores SIGPIPE, and ignoring is inherited through exec.
                setsigdef=[signal.SIGPIPE, signal.SIGINT],
            )
        except OSError as error:
            os.close(out_read)
            os.close(err_read)
            raise ToposcopeError(f"{self._argv[0]} can't be started: {error.strerror}") from error
        finally:
            os.close(out_write)
            os.close(err_write)
        os.set_blocking(out_read, False)
        os.set_blocking(err_read, False)
        return pid, out_read, err_read

    def _stdout_action(self, out_write: int) -> tuple[int, int, int] | tuple[int, int, str, int, int]:
        if self._hearing.on_line is None:
            return (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
        return (os.POSIX_SPAWN_DUP2, out_write, 1)

    async def _attend(self, pid: int, pid_fd: int, out_fd: int, err_fd: int) -> bool:
        """Read until the process has ended or time is up; true for the latter."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(pid_fd, ended.set)
        loop.add_reader(out_fd, self._hear, out_fd, ended)
        loop.add_reader(err_fd, self._read, err_fd, self._take_complaint)
        try:
            async with asyncio.timeout(self._deadline.duration_s) as self._deadline.running:
                await ended.wait()
        except TimeoutError:
            return True
        finally:
            self._deadline.running = None
            if self._resumption is not None:
                self._resumption.cancel()
            for fd in (pid_fd, out_fd, err_fd):
                loop.remove_reader(fd)
            self._kill(pid)
        return False

    def _hear(self, fd: int, ended: asyncio.Event) -> None:
        """Take the output that is there, then listen again: after the pause, unless there was much."""
        before = self._stdout_bytes
        is_open = self._read(fd, self._take_output)
        if self._too_much:
            ended.set()
        if self._hearing.on_pause is not None:
            self._hearing.on_pause()
        if is_open and self._hearing.pause_s and self._stdout_bytes - before < _READ_AT_ONCE_BYTES:
            loop = asyncio.get_running_loop()
            loop.remove_reader(fd)
            self._resumption = loop.call_later(
                self._hearing.pause_s, loop.add_reader, fd, self._hear, fd, ended
            )

    def _read(self, fd: int, take: Callable[[bytes], None]) -> bool:
        """Take all that is there; at end of file stop listening, or the loop would spin. False then."""
        while not self._too_much:
            try:
                chunk = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                return True
            if not chunk:
                with contextlib.suppress(RuntimeError):  # no loop: the last read after the reap
                    asyncio.get_running_loop().remove_reader(fd)
                return False
            take(chunk)
        return False

    def _take_output(self, chunk: bytes) -> None:
        self._stdout_bytes += len(chunk)
        if self._stdout_bytes > STDOUT_BYTES_MAX or len(self._pending) > _LINE_BYTES_MAX:
            self._too_much = True
            return
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            if self._hearing.on_line is not None:
                self._hearing.on_line(line)
        if lines:
            self._deadline.heard()

    def _take_complaint(self, chunk: bytes) -> None:
        self._complaint = (self._complaint + chunk)[-_STDERR_BYTES_KEPT:]

    @staticmethod
    def _kill(pid: int) -> None:
        """End the whole group; the leader is not reaped yet, so the group's id can't be another's."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    @staticmethod
    def _reap(pid: int) -> tuple[int, float]:
        """Wait for a process that was sent SIGKILL or has ended: it can't take long."""
        _, status, usage = os.wait4(pid, 0)
        return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
