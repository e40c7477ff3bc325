"""Retention: a year in the store is days of visits and a year of quantiles, in a file that stays small."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from random import Random

import pytest

from toposcope import retention
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.store import Store

_DAY_S = 86_400
_PAIR = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "l3")
_NODE = Identity("memory_latency", Target((0,), node=0), {"pages": "base"})
_LIMITS = {"raw_days": 14, "daily_days": 400, "max_bytes": 64 << 20}


def _visit(time_s: float, value: float, verdict: str = "ok") -> Visit:
    estimate = Estimate(value, value - 1, value, value + 2, value - 0.5, value + 0.5, 2.0)
    return Visit(time_s, 0.003, verdict, "", {"latency_ns": estimate}, 256)  # type: ignore[arg-type]


def _fill(store: Store, visits: list[tuple[Identity, Visit]]) -> None:
    store.record_all("m", [(identity, "latency_ns", visit) for identity, visit in visits])


def _year(days: int, visits_a_day: int) -> list[list[tuple[Identity, Visit]]]:
    rng = Random(1)
    return [
        [
            (identity, _visit((day + part / visits_a_day) * _DAY_S, base * rng.gauss(1 + day / 1000, 0.02)))
            for part in range(visits_a_day)
            for identity, base in ((_PAIR, 26.0), (_NODE, 90.0))
        ]
        for day in range(days)
    ]


def test_a_year_is_two_weeks_of_visits_and_quantiles_of_every_other_day(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        sizes = []
        for day, visits in enumerate(_year(365, 24)):
            _fill(store, visits)
            store.prune((day + 1) * _DAY_S, **_LIMITS)
            sizes.append(store.path.stat().st_size)
        singly = list(store.history("m", _PAIR.id))
        days = list(store.days("m", _PAIR.id))
        assert len(singly) == 14 * 24
        assert [int(day.time_s // _DAY_S) for day in days] == list(range(365 - 14))
        assert all(day.facts == {"visits": 24} for day in days)
        for day in days:
            value, true = day.measures["latency_ns"], 26 * (1 + (day.time_s // _DAY_S) / 1000)
            assert value.low <= value.estimate <= value.high
            assert value.estimate == pytest.approx(true, rel=0.02)
            assert value.high / value.low == pytest.approx(1 + 2 * 1.28 * 0.02, rel=0.03)
        assert singly[0].time_s - days[-1].time_s < _DAY_S
    # After the first weeks a day adds two rows of quantiles, no more: the space of its visits is used again.
    assert sizes[-1] < 1.5 * sizes[30]


def test_quantiles_go_after_their_time(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        _fill(store, [pair for day in _year(40, 2) for pair in day])
        store.prune(40 * _DAY_S, raw_days=3, daily_days=10, max_bytes=64 << 20)
        assert [int(day.time_s // _DAY_S) for day in store.days("m", _NODE.id)] == list(range(30, 37))


def test_a_day_folds_once_and_whole_however_often_pruning_runs(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        _fill(store, [pair for day in _year(3, 24) for pair in day])
        for hour in range(49):
            store.prune((2 + hour / 24) * _DAY_S, raw_days=1, daily_days=400, max_bytes=64 << 20)
        assert [day.facts["visits"] for day in store.days("m", _PAIR.id)] == [24, 24, 24][:3]


def test_only_sound_visits_count_and_the_newest_visit_stays(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        wrong = [(_PAIR, _visit(3600.0 * hour, 99.0, "noisy")) for hour in range(12)]
        right = [(_PAIR, _visit(3600.0 * hour, 26.0)) for hour in range(12, 24)]
        _fill(store, wrong + right)
        assert store.prune(100 * _DAY_S, **_LIMITS) == 23
        (day,) = store.days("m", _PAIR.id)
        assert (day.facts["visits"], day.measures["latency_ns"].high) == (12, 26.0)
        assert [visit.time_s for visit in store.history("m", _PAIR.id)] == [23 * 3600.0]


def test_a_file_that_is_too_large_folds_its_oldest_days_first_and_gives_their_space_back(
    tmp_path: Path,
) -> None:
    with Store(tmp_path) as store:
        _fill(store, [pair for day in _year(10, 200) for pair in day])
        store.prune(10 * _DAY_S, **_LIMITS)
        before = store.path.stat().st_size
        limit = before // 3
        removed = store.prune(10 * _DAY_S, raw_days=14, daily_days=400, max_bytes=limit)
        after = store.path.stat().st_size
        assert removed > 0
        assert after <= 1.1 * limit
        assert not Path(f"{store.path}-wal").stat().st_size
        kept = list(store.history("m", _PAIR.id))
        days = list(store.days("m", _PAIR.id))
        assert len(days) + math.ceil(len(kept) / 200) == 10  # nothing was lost, only folded
        assert kept[-1].time_s // _DAY_S == 9


def test_today_is_cut_where_it_alone_is_too_much(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        _fill(store, [pair for day in _year(1, 8000) for pair in day])
        store.prune(0.9 * _DAY_S, raw_days=14, daily_days=400, max_bytes=2 << 20)
        assert store.path.stat().st_size < 2.3 * (1 << 20)
        assert list(store.history("m", _PAIR.id))


def test_results_without_any_visit_left_are_forgotten(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        _fill(store, [(_PAIR, _visit(1000.0, 26.0))])
        assert len(list(store.results("m", 10))) == 1
        store.prune(1000 * _DAY_S, **_LIMITS)
        assert [identity for identity, _, _ in store.results("m", 10)] == [_PAIR]


def test_a_file_of_before_gives_its_space_back_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "prepare", lambda database: database.execute("PRAGMA auto_vacuum = NONE"))
    with Store(tmp_path) as store:
        _fill(store, [pair for day in _year(30, 100) for pair in day])
    monkeypatch.undo()
    with Store(tmp_path) as store:
        before = store.path.stat().st_size
        store.prune(40 * _DAY_S, **_LIMITS)
        assert store.path.stat().st_size < before / 2
        assert store._database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert len(list(store.days("m", _PAIR.id))) > 0


def test_a_store_that_can_not_be_pruned_says_so(tmp_path: Path) -> None:
    from toposcope.errors import StoreError

    with Store(tmp_path) as store:
        store._database.close()
        with pytest.raises(StoreError, match="can't be pruned"):
            store.prune(_DAY_S, **_LIMITS)
        store._database = sqlite3.connect(":memory:")


def test_results_at_a_time_are_those_of_the_day_before_it_or_its_quantiles(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        _fill(store, [pair for day in _year(30, 24) for pair in day])
        store.prune(30 * _DAY_S, **_LIMITS)
        late = {each[0].id: each[2] for each in store.results_at(29.5 * _DAY_S, 64)}
        assert len(late[_PAIR.id]) == 24
        assert all(28.5 * _DAY_S < visit.time_s <= 29.5 * _DAY_S for visit in late[_PAIR.id])
        early = {each[0].id: each[2] for each in store.results_at(5.2 * _DAY_S, 64)}
        (day,) = early[_NODE.id]
        assert day.facts == {"visits": 24}
        assert day.time_s == 5.5 * _DAY_S
        assert list(store.results_at(-5 * _DAY_S, 64)) == []
