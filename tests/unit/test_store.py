"""The store keeps what was committed, whatever happens to the file or the clock."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from toposcope.errors import BusyError, StoreError
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.store import FILE_NAME, Store

_IDENTITY = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "l3")


def _visit(time_s: float, value: float = 26.0) -> Visit:
    estimate = Estimate(value, value - 1, value, value + 2, value - 0.5, value + 0.5, 2.0)
    return Visit(time_s, 0.003, "ok", "", {"latency_ns": estimate}, 256, {"context_switch": 1})


def test_visits_come_back_as_they_were_written_and_only_for_their_machine(tmp_path: Path) -> None:
    visits = [_visit(1000.0 + i, 26.0 + i) for i in range(5)]
    with Store(tmp_path) as store:
        for visit in visits:
            store.record("machine-a", _IDENTITY, "latency_ns", visit)
    with Store(tmp_path, writer=False) as store:
        assert list(store.results("machine-a", 64)) == [(_IDENTITY, "latency_ns", visits)]
        assert list(store.results("machine-a", 2)) == [(_IDENTITY, "latency_ns", visits[-2:])]
        assert list(store.results("machine-b", 64)) == []
        assert list(store.history("machine-a", _IDENTITY.id)) == visits


def test_order_is_that_of_writing_even_where_the_clock_stepped_back(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for time_s in (5000.0, 100.0, 200.0):
            store.record("m", _IDENTITY, "latency_ns", _visit(time_s))
        (_, _, visits) = next(store.results("m", 64))
    assert [visit.time_s for visit in visits] == [5000.0, 100.0, 200.0]


def test_a_second_writer_is_refused_with_the_holders_pid(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(BusyError, match=r"in use by another toposcope \(process \d+\)"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.record("m", _IDENTITY, "latency_ns", _visit(1.0))
    content = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(b"garbage " * 64 + content[512:])
    with Store(tmp_path) as store:
        assert store.set_aside == tmp_path / f"{FILE_NAME}.damaged-1"
        assert store.set_aside.read_bytes().startswith(b"garbage ")
        assert list(store.results("m", 64)) == []
        store.record("m", _IDENTITY, "latency_ns", _visit(2.0))


def test_a_file_cut_short_still_opens(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for i in range(200):
            store.record("m", _IDENTITY, "latency_ns", _visit(float(i)))
    whole = (tmp_path / FILE_NAME).read_bytes()
    for keep in (0, 50, 4096, len(whole) // 2, len(whole) - 1000):
        (tmp_path / FILE_NAME).write_bytes(whole[:keep])
        with Store(tmp_path) as store:
            store.record("m", _IDENTITY, "latency_ns", _visit(2.0))
            assert next(store.results("m", 1000))[2][-1] == _visit(2.0)


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("UPDATE meta SET value = '99'")
    database.close()
    with pytest.raises(StoreError, match="schema version 99"):
        Store(tmp_path)
    assert not list(tmp_path.glob("*.damaged*"))


def test_a_folder_that_cannot_be_made_gives_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be made: Not a directory"):
        Store(tmp_path / "file" / "store")


def test_pruning_folds_old_days_and_keeps_the_file_below_its_limit(tmp_path: Path) -> None:
    day_s = 86_400
    with Store(tmp_path) as store:
        for i in range(48):
            store.record("m", _IDENTITY, "latency_ns", _visit(i * day_s / 24, 20.0 + i % 24))
        assert store.prune(20 * day_s, raw_days=19, daily_days=400, max_bytes=1 << 30) == 24
        assert len(list(store.history("m", _IDENTITY.id))) == 24
        rows = (
            sqlite3.connect(store.path).execute("SELECT day, visits, low, median, high FROM daily").fetchall()
        )
        assert rows == [(0, 24, 22.0, 32.0, 41.0)]
        for i in range(3000):
            store.record("m", _IDENTITY, "latency_ns", _visit(19.5 * day_s + i))
        store.prune(20 * day_s, raw_days=19, daily_days=400, max_bytes=200_000)
        assert len(list(store.history("m", _IDENTITY.id))) < 3000


def test_events_come_newest_first_and_are_limited(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for i in range(3):
            store.add_event(float(i), "topology_changed", {"offline_cpus": [i]})
        assert [event["offline_cpus"] for event in store.events(2)] == [[2], [1]]
