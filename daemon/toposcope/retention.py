"""How the store forgets: visits fold into daily quantiles, these go after a year, and disk space comes back.

What is kept, newest first: every visit of some days; of each older day and result the 10th, 50th and 90th
percentile of its sound visits; of every result the newest visit, however old (a clock that jumped ahead makes
all of them look old). Where the file is too large, days fold earlier than they would by age.

Only whole days (UTC) fold, so a day's row is made once, from all of it. Called with an open connection, in
the thread that owns it; raises sqlite3.Error.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

import msgspec

from toposcope.results import Visit

SECONDS_PER_DAY: Final = 86_400
# Visits deleted in one transaction when nothing is left to fold, so that no transaction takes long.
_PRUNE_ROWS: Final = 5_000
# Free pages that are given back in one go (of 4 KiB: 40 MB), so that no prune takes long.
_VACUUM_PAGES: Final = 10_000
# A file of a version that could not give back pages singly is written anew when this share of it is free.
_FREE_SHARE_MAX: Final = 0.25
_DELETE_BEFORE: Final = (
    "DELETE FROM visits WHERE time_s < ? AND row NOT IN (SELECT max(row) FROM visits GROUP BY result)"
)
_OLDEST: Final = (
    "SELECT min(time_s) FROM visits WHERE row NOT IN (SELECT max(row) FROM visits GROUP BY result)"
)
_DELETE_FIRST: Final = (
    "DELETE FROM visits WHERE row IN (SELECT row FROM visits"
    " WHERE row NOT IN (SELECT max(row) FROM visits GROUP BY result) ORDER BY row LIMIT ?)"
)

_visit_decoder = msgspec.json.Decoder(Visit)


@dataclass(frozen=True, slots=True)
class Limits:
    """Days for which visits are kept singly, days for which quantiles are, and the file's size."""

    raw_days: int
    daily_days: int
    max_bytes: int


def prepare(database: sqlite3.Connection) -> None:
    """Let an empty file give back single pages later (sqlite.org/pragma.html#pragma_auto_vacuum)."""
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")


def prune(database: sqlite3.Connection, now_s: float, limits: Limits) -> int:
    """Fold and drop what is beyond the limits, and give back its space; returns how many visits went."""
    today = int(now_s // SECONDS_PER_DAY)
    removed = _fold_before(database, today - limits.raw_days)
    with database:
        database.execute("DELETE FROM daily WHERE day < ?", (today - limits.daily_days,))
    while used_bytes(database) > limits.max_bytes and (step := _drop_oldest(database, today)):
        removed += step
    with database:
        database.execute(
            "DELETE FROM results WHERE row NOT IN (SELECT result FROM visits)"
            " AND row NOT IN (SELECT result FROM daily)"
        )
    _give_back(database)
    return removed


def used_bytes(database: sqlite3.Connection) -> int:
    """What is in use of the file; the rest is free for new rows, and given back at the next prune."""
    pages, free = _pages(database)
    return (pages - free) * int(database.execute("PRAGMA page_size").fetchone()[0])


def _fold_before(database: sqlite3.Connection, day: int) -> int:
    """Fold all visits of the days before `day`; each result's newest stays as well. How many went."""
    limit_s = day * SECONDS_PER_DAY
    with database:
        for result, when, values in _days_before(database, limit_s):
            values.sort()
            at = (len(values) // 10, len(values) // 2, len(values) * 9 // 10)
            database.execute(
                "INSERT OR IGNORE INTO daily VALUES (?, ?, ?, ?, ?, ?)",
                (result, when, len(values), *(values[index] for index in at)),
            )
        return database.execute(_DELETE_BEFORE, (limit_s,)).rowcount


def _days_before(database: sqlite3.Connection, limit_s: float) -> list[tuple[int, int, list[float]]]:
    """(result, day, estimates) of the sound visits before a time."""
    days: dict[tuple[int, int], list[float]] = {}
    for result, measure, blob in database.execute(
        "SELECT visits.result, measure, visit FROM visits"
        " JOIN results ON results.row = visits.result WHERE time_s < ? AND verdict = 'ok'",
        (limit_s,),
    ):
        try:
            visit = _visit_decoder.decode(blob)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
            continue  # damaged on the disk: it goes with its day (the store counts such when it reads them)
        day = int(visit.time_s // SECONDS_PER_DAY)
        if measure in visit.measures:
            days.setdefault((result, day), []).append(visit.measures[measure].estimate)
    return [(result, day, values) for (result, day), values in days.items()]


def _drop_oldest(database: sqlite3.Connection, today: int) -> int:
    """Fold the oldest day that is over, or drop some of today's visits, or the oldest quantiles."""
    (oldest_s,) = database.execute(_OLDEST).fetchone()
    if oldest_s is not None and (day := int(oldest_s // SECONDS_PER_DAY)) < today:
        return _fold_before(database, day + 1)
    with database:
        dropped = database.execute(_DELETE_FIRST, (_PRUNE_ROWS,)).rowcount
        if dropped:
            return dropped
        return database.execute("DELETE FROM daily WHERE day = (SELECT min(day) FROM daily)").rowcount


def _give_back(database: sqlite3.Connection) -> None:
    """Return free pages to the file system, and cut the journal to nothing."""
    (kind,) = database.execute("PRAGMA auto_vacuum").fetchone()
    pages, free = _pages(database)
    if kind:
        # Each step of this statement frees one page, and `execute` makes just one step.
        database.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
    elif free > _FREE_SHARE_MAX * pages:
        prepare(database)
        database.execute("VACUUM")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _pages(database: sqlite3.Connection) -> tuple[int, int]:
    """(all pages, those that hold nothing)."""
    one = database.execute
    return one("PRAGMA page_count").fetchone()[0], one("PRAGMA freelist_count").fetchone()[0]
