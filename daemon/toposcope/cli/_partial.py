"""What a broken-off `toposcope matrix` has measured so far: a file beside the store, until all is measured.

It holds JSON lines: first whose visits these are, then a visit a line, appended as pairs are measured. It
works also where a daemon has the store, and whatever broke the matrix off, SIGKILL included, loses the last
128 pairs at most. A line that makes no sense (it was cut off) is as good as none: its pair is measured again.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec
from rich.console import Console

from toposcope.clock import SystemClock
from toposcope.measure.plan import Task
from toposcope.results import Identity, Visit

# What is older was measured on what may be another machine by now (moved, rebooted, set up anew).
RESUME_S_MAX: Final = 86_400.0
_SCHEMA_VERSION: Final = 1
_FILE_BYTES_MAX: Final = 1 << 30


class _Head(msgspec.Struct, frozen=True):
    """Whose visits the file holds, and since when (seconds since the epoch)."""

    schema_version: int
    fingerprint: str
    probe: str
    cpus: tuple[int, ...]
    started_s: float

    def is_like(self, other: _Head) -> bool:
        """Whether the visits under one head belong to a matrix under the other."""
        return msgspec.structs.replace(self, started_s=0.0) == msgspec.structs.replace(other, started_s=0.0)


class _Row(msgspec.Struct, frozen=True):
    identity: Identity
    visit: Visit


class Partial:
    """The open file. `visits` holds what an earlier run has measured, by result id."""

    def __init__(
        self, file: IO[bytes] | None, started_s: float, rows: Sequence[_Row], console: Console
    ) -> None:
        self.visits = {row.identity.id: row.visit for row in rows if row.visit.verdict != "failed"}
        self.started_s = started_s
        self._file = file
        self._console = console

    def keep(self, visited: Sequence[tuple[Task, Visit]]) -> None:
        """Append what was visited; a full disk costs the resuming, not the matrix."""
        if self._file is None:
            return
        rows = b"".join(msgspec.json.encode(_Row(task.identity, visit)) + b"\n" for task, visit in visited)
        try:
            self._file.write(rows)
            self._file.flush()
        except OSError as error:
            self._console.print(f"the matrix can't be resumed if it breaks off: {error}", style="yellow")
            self._file = None

    def finish(self) -> None:
        """The matrix is whole: nothing is left to resume."""
        if self._file is not None:
            Path(self._file.name).unlink(missing_ok=True)


def path_of(directory: Path, probe: str) -> Path:
    """Where the unfinished matrix of a probe is kept."""
    return directory / f"matrix-{probe}.partial"


def is_unfinished(directory: Path, machine_fingerprint: str, probe: str, cpus: tuple[int, ...]) -> bool:
    """Whether a run for this machine and these CPUs broke off not long ago."""
    try:
        with path_of(directory, probe).open("rb") as file:
            head = _decode_head(file.readline(_FILE_BYTES_MAX))
    except OSError:
        return False
    return head is not None and head.is_like(_new_head(machine_fingerprint, probe, cpus)) and _is_fresh(head)


@contextmanager
def open_partial(
    directory: Path,
    machine_fingerprint: str,
    probe: str,
    cpus: tuple[int, ...],
    console: Console,
    *,
    afresh: bool,
) -> Iterator[Partial]:
    """The file of an unfinished matrix, with what it holds unless that is another's, too old or unwanted.

    Where it can't be written or another `toposcope matrix` writes it, that is said and nothing is kept.
    """
    wanted = _new_head(machine_fingerprint, probe, cpus)
    path = path_of(directory, probe)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        console.print(
            f"the matrix can't be resumed if it breaks off: {path}: {error.strerror}", style="yellow"
        )
        yield Partial(None, wanted.started_s, (), console)
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            console.print("another toposcope matrix is under way: this one can't be resumed", style="yellow")
            yield Partial(None, wanted.started_s, (), console)
            return
        head, rows = _read(file)
        if afresh or head is None or not head.is_like(wanted) or not _is_fresh(head):
            head, rows = wanted, []
            file.truncate(0)
            file.write(msgspec.json.encode(wanted))
        file.write(b"\n")  # ends the head, or a line that was cut off
        file.flush()
        yield Partial(file, head.started_s, rows, console)


def _new_head(machine_fingerprint: str, probe: str, cpus: tuple[int, ...]) -> _Head:
    return _Head(_SCHEMA_VERSION, machine_fingerprint, probe, cpus, SystemClock().wall_s())


def _is_fresh(head: _Head) -> bool:
    return 0 <= SystemClock().wall_s() - head.started_s < RESUME_S_MAX


def _decode_head(line: bytes) -> _Head | None:
    try:
        return msgspec.json.decode(line, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read(file: IO[bytes]) -> tuple[_Head | None, list[_Row]]:
    file.seek(0)
    head_line, *lines = file.read(_FILE_BYTES_MAX).split(b"\n")
    rows = []
    for line in lines:
        try:
            rows.append(msgspec.json.decode(line, type=_Row))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return _decode_head(head_line), rows
