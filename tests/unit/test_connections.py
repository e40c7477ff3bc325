"""Which connections make room for others, and when."""

from __future__ import annotations

from typing import Any

import pytest

from toposcope import connections
from toposcope.connections import _Open


class _Connection:
    """As far as `_Open` looks at one; `age_s` is set by the test."""

    has_answer_under_way = False

    def __init__(self, among: _Open, age_s: float = 0.0) -> None:
        self._among = among
        self.age_s = age_s
        self.is_closed = False

    def close_now(self) -> None:
        self.is_closed = True
        self._among.remove(self)  # type: ignore[arg-type]


def _connect(among: _Open, count: int, *, asks: bool = False, age_s: float = 0.0) -> list[Any]:
    made = [_Connection(among, age_s) for _ in range(count)]
    for each in made:
        among.add(each)  # type: ignore[arg-type]
        if asks:
            among.has_asked(each)  # type: ignore[arg-type]
    return made


def _open(made: list[Any]) -> int:
    return sum(not each.is_closed for each in made)


def test_of_a_burst_all_have_a_moment_to_ask_and_then_the_limit_holds() -> None:
    """A thousand at once under a limit of 100: found with 1,023 open, since of each burst one made room."""
    among = _Open(100)
    crowd = _connect(among, 900)
    assert _open(crowd) == 900
    for each in crowd:
        each.age_s = 1.5
    (last,) = _connect(among, 1)
    assert _open(crowd) == 99
    assert not last.is_closed
    assert [each.is_closed for each in crowd] == [True] * 801 + [False] * 99


def test_the_moment_has_a_limit_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (1024, 4096))
    assert _open(_connect(_Open(100), 2000)) == 512
    assert _open(_connect(_Open(20), 2000)) == 200
    assert _open(_connect(_Open(1000), 2000)) == 1000


def test_who_has_asked_stays_while_silent_ones_can_go() -> None:
    among = _Open(100)
    scrapers = _connect(among, 50, asks=True, age_s=3600.0)
    silent = _connect(among, 500, age_s=5.0)
    assert _open(scrapers) == 50
    assert _open(silent) == 50


def test_of_many_who_asked_the_oldest_idle_one_goes_and_none_that_is_being_answered() -> None:
    among = _Open(10)
    first, *others = _connect(among, 10, asks=True, age_s=5.0)
    first.has_answer_under_way = True
    _connect(among, 1, asks=True)
    _connect(among, 1)
    assert not first.is_closed
    assert [each.is_closed for each in others] == [True] + [False] * 8


def test_closed_ones_no_longer_count() -> None:
    among = _Open(10)
    for each in _connect(among, 10, age_s=5.0):
        each.close_now()
    assert _open(_connect(among, 10, age_s=5.0)) == 10
