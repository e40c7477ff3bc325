"""The results' store: one SQLite file in WAL mode, and a lock file beside it for its one writer.

    meta      schema_version, and notes (what the drift baselines were learnt under)
    results   one row an identity on one machine (`fingerprint` of its declared topology)
    visits    every visit of the last days, as JSON, by time
    daily     one row a result and day: quantiles of that day's sound visits, kept much longer (`retention`)
    events    what changed, in order

A visit is committed before it is served (synchronous=FULL), so nothing that was served is lost, whatever
kills the daemon. A file that SQLite calls damaged is set aside under another name, never deleted; one of a
newer schema is refused. Times are seconds since the epoch and may step with the host's clock: order is by
row id. Not thread-safe: the daemon uses it from one worker thread, so that a slow disk delays no scrape.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import msgspec

from toposcope import retention
from toposcope.errors import BusyError, StoreError
from toposcope.results import Estimate, Identity, Visit
from toposcope.retention import SECONDS_PER_DAY, Limits

SCHEMA_VERSION: Final = 1
FILE_NAME: Final = "results.db"
_EVENTS_MAX: Final = 10_000

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results (
    row INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, id TEXT NOT NULL,
    identity BLOB NOT NULL, measure TEXT NOT NULL, UNIQUE (fingerprint, id));
CREATE TABLE visits (
    row INTEGER PRIMARY KEY, result INTEGER NOT NULL REFERENCES results (row) ON DELETE CASCADE,
    time_s REAL NOT NULL, verdict TEXT NOT NULL, visit BLOB NOT NULL);
CREATE INDEX visits_by_result ON visits (result, row);
CREATE INDEX visits_by_time ON visits (time_s);
CREATE TABLE daily (
    result INTEGER NOT NULL REFERENCES results (row) ON DELETE CASCADE, day INTEGER NOT NULL,
    visits INTEGER NOT NULL, low REAL, median REAL, high REAL, PRIMARY KEY (result, day)) WITHOUT ROWID;
CREATE TABLE events (row INTEGER PRIMARY KEY, time_s REAL NOT NULL, kind TEXT NOT NULL, event BLOB NOT NULL);
"""

_identity_decoder = msgspec.json.Decoder(Identity)
_visit_decoder = msgspec.json.Decoder(Visit)
# A value that is no JSON, or not of our form, or (TypeError) has become a number or nothing.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, TypeError)


class Store:
    """An open store. `writer` takes the lock, and fails with BusyError if another process has it."""

    def __init__(self, directory: Path, *, writer: bool = True) -> None:
        self.path = directory / FILE_NAME
        self.set_aside: Path | None = None
        self.unreadable = 0
        self._lock: IO[str] | None = None
        if writer:
            _make_directory(directory)
            self._lock = _take_lock(directory / "lock")
        elif not self.path.exists():
            raise StoreError(f"{directory}: holds no results yet")
        try:
            self._database = self._open_or_set_aside(writer)
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what SQLite still holds back, and free the lock."""
        self._database.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open_or_set_aside(self, writer: bool) -> sqlite3.Connection:
        try:
            return _open(self.path)
        except sqlite3.DatabaseError as error:
            # OperationalError: the file can't be used here (permission, disk, lock), not that it is bad.
            if isinstance(error, sqlite3.OperationalError) or not writer:
                raise StoreError(f"{self.path}: {error}", "check permissions and free space") from error
        self.set_aside = _set_aside(self.path)
        return _open(self.path)

    def record(self, fingerprint: str, identity: Identity, measure: str, visit: Visit) -> None:
        """Commit one visit. Raises StoreError (disk full, read-only), after which the store is as before."""
        self.record_all(fingerprint, [(identity, measure, visit)])

    def record_all(self, fingerprint: str, visits: Iterable[tuple[Identity, str, Visit]]) -> None:
        """Commit visits, all or none: one wait for the disk instead of one each. Raises as `record` does."""
        try:
            with self._database:
                for identity, measure, visit in visits:
                    row = self._result_row(fingerprint, identity, measure)
                    self._database.execute(
                        "INSERT INTO visits (result, time_s, verdict, visit) VALUES (?, ?, ?, ?)",
                        (row, visit.time_s, visit.verdict, msgspec.json.encode(visit)),
                    )
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: a visit can't be written: {error}") from error

    def _result_row(self, fingerprint: str, identity: Identity, measure: str) -> int:
        key = (fingerprint, identity.id)
        found = self._database.execute(
            "SELECT row FROM results WHERE fingerprint = ? AND id = ?", key
        ).fetchone()
        if found is not None:
            return int(found[0])
        cursor = self._database.execute(
            "INSERT INTO results (fingerprint, id, identity, measure) VALUES (?, ?, ?, ?)",
            (*key, msgspec.json.encode(identity), measure),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def results(self, fingerprint: str, last_visits: int) -> Iterator[tuple[Identity, str, list[Visit]]]:
        """Every result of a machine with its measure and at most `last_visits` visits, oldest first."""
        rows = self._database.execute(
            "SELECT row, identity, measure FROM results WHERE fingerprint = ? ORDER BY row", (fingerprint,)
        ).fetchall()
        for row, identity, measure in rows:
            newest = self._database.execute(
                "SELECT visit FROM visits WHERE result = ? ORDER BY row DESC LIMIT ?", (row, last_visits)
            ).fetchall()
            visits = self._readable(visit for (visit,) in reversed(newest))
            known = self._identity(identity)
            if visits and known is not None:
                yield known, str(measure), visits

    def history(self, fingerprint: str, result_id: str) -> Iterator[Visit]:
        """All visits of one result that are still kept singly, oldest first."""
        for (visit,) in self._database.execute(
            "SELECT visit FROM visits JOIN results ON results.row = visits.result"
            " WHERE fingerprint = ? AND id = ? ORDER BY visits.row",
            (fingerprint, result_id),
        ):
            yield from self._readable([visit])

    def days(self, fingerprint: str, result_id: str) -> Iterator[Visit]:
        """The days of one result that are kept as quantiles only, oldest first, each as one visit at noon.

        Its estimate is the day's median, its interval and `min` and `p90` the 10th and 90th percentile.
        """
        for measure, day, visits, low, median, high in self._database.execute(
            "SELECT measure, day, visits, low, median, high FROM daily"
            " JOIN results ON results.row = daily.result WHERE fingerprint = ? AND id = ? ORDER BY day",
            (fingerprint, result_id),
        ):
            yield _day_as_visit(measure, day, visits, (low, median, high))

    def results_at(self, time_s: float, last_visits: int) -> Iterator[tuple[Identity, str, list[Visit]]]:
        """Every result as it was known at a time: its visits of the day before, or that day's quantiles.

        Whatever the machine's topology was then; a result that was not visited near that time is left out.
        """
        from_s = time_s - SECONDS_PER_DAY
        day = int(time_s // SECONDS_PER_DAY)
        for row, identity, measure in self._database.execute(
            "SELECT row, identity, measure FROM results ORDER BY row"
        ).fetchall():
            newest = self._database.execute(
                "SELECT visit FROM visits WHERE result = ? AND time_s > ? AND time_s <= ?"
                " ORDER BY row DESC LIMIT ?",
                (row, from_s, time_s, last_visits),
            ).fetchall()
            visits = self._readable(visit for (visit,) in reversed(newest))
            if not visits:
                visits = self._day_near(row, str(measure), day)
            known = self._identity(identity)
            if visits and known is not None:
                yield known, str(measure), visits

    def _day_near(self, row: int, measure: str, day: int) -> list[Visit]:
        """The quantiles of a day, or of the day before it where there are none."""
        found = self._database.execute(
            "SELECT day, visits, low, median, high FROM daily WHERE result = ? AND day BETWEEN ? AND ?"
            " ORDER BY day DESC LIMIT 1",
            (row, day - 1, day),
        ).fetchone()
        return [] if found is None else [_day_as_visit(measure, found[0], found[1], found[2:])]

    def visits_since(self, fingerprint: str, time_s: float) -> Iterator[tuple[Identity, str, Visit]]:
        """All visits of a machine from a time on, in the order in which they were made."""
        identities: dict[int, Identity | None] = {}
        for row, identity, measure, visit in self._database.execute(
            "SELECT results.row, identity, measure, visit FROM visits"
            " JOIN results ON results.row = visits.result"
            " WHERE fingerprint = ? AND time_s >= ? ORDER BY visits.row",
            (fingerprint, time_s),
        ):
            if row not in identities:
                identities[row] = self._identity(identity)
            if (known := identities[row]) is not None:
                yield from ((known, str(measure), each) for each in self._readable([visit]))

    def _readable(self, visits: Iterable[bytes]) -> list[Visit]:
        """The visits, decoded. SQLite has no checksums: what a bad disk changed is left out, and counted."""
        found = []
        for visit in visits:
            try:
                found.append(_visit_decoder.decode(visit))
            except _UNREADABLE:
                self.unreadable += 1
        return found

    def _identity(self, identity: bytes) -> Identity | None:
        """What a result is about; None, and counted, where that can't be read."""
        try:
            return _identity_decoder.decode(identity)
        except _UNREADABLE:
            self.unreadable += 1
            return None

    def note(self, key: str) -> str | None:
        """A short text that was kept under a name, or None."""
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (f"note:{key}",)).fetchone()
        return None if row is None else str(row[0])

    def set_note(self, key: str, value: str) -> None:
        """Keep a short text under a name."""
        try:
            with self._database:
                self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"note:{key}", value))
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: a note can't be written: {error}") from error

    def add_event(self, time_s: float, kind: str, event: Mapping[str, Any]) -> None:
        """Commit one event; the oldest go when there are too many."""
        try:
            with self._database:
                self._database.execute(
                    "INSERT INTO events (time_s, kind, event) VALUES (?, ?, ?)",
                    (time_s, kind, msgspec.json.encode(event)),
                )
                self._database.execute(
                    "DELETE FROM events WHERE row <= (SELECT max(row) FROM events) - ?", (_EVENTS_MAX,)
                )
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: an event can't be written: {error}") from error

    def events(self, limit: int) -> list[dict[str, Any]]:
        """The newest events, newest first."""
        rows = self._database.execute(
            "SELECT row, time_s, kind, event FROM events ORDER BY row DESC LIMIT ?", (limit,)
        )
        return [
            {"id": row, "time_s": time_s, "kind": kind, **msgspec.json.decode(event)}
            for row, time_s, kind, event in rows
        ]

    def prune(self, now_s: float, *, raw_days: int, daily_days: int, max_bytes: int) -> int:
        """Fold old visits into daily rows, drop what is beyond the limits; returns how many visits went."""
        try:
            return retention.prune(self._database, now_s, Limits(raw_days, daily_days, max_bytes))
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: can't be pruned: {error}") from error


def _day_as_visit(measure: str, day: int, visits: int, quantiles: tuple[float, float, float]) -> Visit:
    low, median, high = quantiles
    value = Estimate(median, low, median, high, low, high, 0.0)
    return Visit((day + 0.5) * SECONDS_PER_DAY, 0.0, "ok", "", {measure: value}, facts={"visits": visits})


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise StoreError(
            f"{directory}: the folder for results can't be made: {error.strerror}",
            "set store.directory to a folder that this user may write to",
        ) from error


def _take_lock(path: Path) -> IO[str]:
    try:
        lock = path.open("a+")
    except OSError as error:
        raise StoreError(
            f"{path.parent}: the folder for results is not writable: {error.strerror}",
            "set store.directory to a folder that this user may write to",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read(20).strip() or "unknown"
        lock.close()
        raise BusyError(
            f"{path.parent}: the store is in use by another toposcope (process {holder})",
            "stop that one, or set another store.directory",
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        retention.prepare(database)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        _check_schema(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()
    if not tables:
        # In one transaction: a file with tables and no version would count as damaged.
        with database:
            database.execute("BEGIN")
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        return
    row = database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None or not str(row[0]).isdigit():
        raise sqlite3.DatabaseError("the schema's version is missing")
    if str(row[0]) != str(SCHEMA_VERSION):
        raise StoreError(
            f"{path}: was written by schema version {row[0]}, this toposcope knows {SCHEMA_VERSION}",
            "use the toposcope that wrote it, or another store.directory",
        )


def _set_aside(path: Path) -> Path:
    """Rename a damaged file to the first free `.damaged-N`; returns the new name. Its journal goes."""
    for number in range(1, 1000):
        target = path.with_name(f"{path.name}.damaged-{number}")
        if not target.exists():
            path.rename(target)
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            return target
    raise StoreError(f"{path}: is damaged, and there are 999 damaged ones beside it", "remove them")
