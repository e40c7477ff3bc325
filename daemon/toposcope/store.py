"""The results' store: one SQLite file in WAL mode, and a lock file beside it for its one writer.

    meta      schema_version, and notes (what the drift baselines were learnt under)
    results   one row an identity on one machine (`fingerprint` of its declared topology)
    visits    every visit of the last days, as JSON, by time
    daily     one row a result and day: quantiles of that day's sound visits, kept much longer
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import msgspec

from toposcope.errors import BusyError, StoreError
from toposcope.results import Identity, Visit

SCHEMA_VERSION: Final = 1
FILE_NAME: Final = "results.db"
_SECONDS_PER_DAY: Final = 86_400
_EVENTS_MAX: Final = 10_000
# Visits deleted in one transaction when the file is too large, so that no transaction takes long.
_PRUNE_ROWS: Final = 5_000

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


class Store:
    """An open store. `writer` takes the lock, and fails with BusyError if another process has it."""

    def __init__(self, directory: Path, *, writer: bool = True) -> None:
        self.path = directory / FILE_NAME
        self.set_aside: Path | None = None
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
        try:
            with self._database:
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
            if newest:
                visits = [_visit_decoder.decode(visit) for (visit,) in reversed(newest)]
                yield _identity_decoder.decode(identity), str(measure), visits

    def history(self, fingerprint: str, result_id: str) -> Iterator[Visit]:
        """All visits of one result that are still kept singly, oldest first."""
        for (visit,) in self._database.execute(
            "SELECT visit FROM visits JOIN results ON results.row = visits.result"
            " WHERE fingerprint = ? AND id = ? ORDER BY visits.row",
            (fingerprint, result_id),
        ):
            yield _visit_decoder.decode(visit)

    def visits_since(self, fingerprint: str, time_s: float) -> Iterator[tuple[Identity, str, Visit]]:
        """All visits of a machine from a time on, in the order in which they were made."""
        identities: dict[int, tuple[Identity, str]] = {}
        for row, identity, measure, visit in self._database.execute(
            "SELECT results.row, identity, measure, visit FROM visits"
            " JOIN results ON results.row = visits.result"
            " WHERE fingerprint = ? AND time_s >= ? ORDER BY visits.row",
            (fingerprint, time_s),
        ):
            if row not in identities:
                identities[row] = (_identity_decoder.decode(identity), str(measure))
            yield (*identities[row], _visit_decoder.decode(visit))

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
        """Fold old visits into daily rows, drop the oldest beyond the limits; returns visits removed."""
        limit_s = now_s - raw_days * _SECONDS_PER_DAY
        try:
            with self._database:
                self._fold(limit_s)
                # Each result's newest visit stays: a clock that jumped ahead makes all of them look old.
                removed = self._database.execute(
                    "DELETE FROM visits WHERE time_s < ?"
                    " AND row NOT IN (SELECT max(row) FROM visits GROUP BY result)",
                    (limit_s,),
                ).rowcount
                oldest_day = int(now_s // _SECONDS_PER_DAY) - daily_days
                self._database.execute("DELETE FROM daily WHERE day < ?", (oldest_day,))
            while self._used_bytes() > max_bytes and (step := self._drop_oldest()):
                removed += step
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: can't be pruned: {error}") from error
        return removed

    def _fold(self, limit_s: float) -> None:
        rows = self._database.execute(
            "SELECT visits.result, CAST(time_s / ? AS INTEGER), measure, visit FROM visits"
            " JOIN results ON results.row = visits.result WHERE time_s < ? AND verdict = 'ok'",
            (_SECONDS_PER_DAY, limit_s),
        )
        days: dict[tuple[int, int], list[float]] = {}
        for result, day, measure, blob in rows:
            visit = _visit_decoder.decode(blob)
            if measure in visit.measures:
                days.setdefault((result, day), []).append(visit.measures[measure].estimate)
        for (result, day), values in days.items():
            values.sort()
            quantiles = (values[len(values) // 10], values[len(values) // 2], values[len(values) * 9 // 10])
            self._database.execute(
                "INSERT OR IGNORE INTO daily VALUES (?, ?, ?, ?, ?, ?)",
                (result, day, len(values), *quantiles),
            )

    def _used_bytes(self) -> int:
        one = self._database.execute
        pages, free = one("PRAGMA page_count").fetchone()[0], one("PRAGMA freelist_count").fetchone()[0]
        return int((pages - free) * one("PRAGMA page_size").fetchone()[0])

    def _drop_oldest(self) -> int:
        with self._database:
            return self._database.execute(
                "DELETE FROM visits WHERE row IN (SELECT row FROM visits ORDER BY row LIMIT ?)",
                (_PRUNE_ROWS,),
            ).rowcount


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
        with database:
            database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            database.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        return
    row = database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the schema's version is missing")
    if int(row[0]) != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: was written by schema version {row[0]}, this toposcope knows {SCHEMA_VERSION}",
            "use the toposcope that wrote it, or another store.directory",
        )


def _set_aside(path: Path) -> Path:
    """Rename a damaged file and its journal to the first free `.damaged-N`; returns the new name."""
    for number in range(1, 1000):
        target = path.with_name(f"{path.name}.damaged-{number}")
        if not target.exists():
            path.rename(target)
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            return target
    raise StoreError(f"{path}: is damaged, and there are 999 damaged ones beside it", "remove them")
