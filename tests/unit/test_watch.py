"""The daemon's watch over drift: hours, groups, restarts; and no event from moving vCPUs or bad visits."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from toposcope.measure.drift import DAILY, HOURLY
from toposcope.measure.watch import DRIFTED_S, GROUPS_MAX, GROUPS_OF_A_PROBE_MAX, Watch, WatchMemory
from toposcope.results import Estimate, Identity, Target, Visit

_HOUR_S = 3600.0


def _identity(first: int = 0, second: int = 1) -> Identity:
    return Identity("cacheline_cas", Target((first, second)), {"model": "thread"}, "l3")


def _visit(time_s: float, value: float, verdict: str = "ok") -> Visit:
    estimate = Estimate(value, value, value, value, value * 0.99, value * 1.01, 0.0)
    return Visit(time_s, 0.003, verdict, "", {"latency_ns": estimate}, 100)  # type: ignore[arg-type]


def _days(
    watch: Watch, days: int, value: float, start_day: int = 0, seed: int = 0, **more: str
) -> list[dict[str, object]]:
    chooser = random.Random(seed)
    events = []
    for hour in range(days * 24):
        for part in range(3):
            time_s = (start_day * 24 + hour) * _HOUR_S + part * 600
            event = watch.observe(
                _identity(), "latency_ns", _visit(time_s, value * chooser.gauss(1, 0.01), **more)
            )
            if event is not None:
                events.append(event)
    return events


def test_a_step_is_one_event_with_its_size_and_quiet_time_is_none() -> None:
    watch = Watch()
    assert _days(watch, 14, 26.0) == []
    (event,) = _days(watch, 3, 33.8, start_day=14, seed=1)
    assert event["relation"] == "l3"
    assert event["ratio"] == pytest.approx(1.3, rel=0.05)
    low, high = event["interval"]  # type: ignore[misc]
    assert low < 1.3 < high
    assert 14 * 86_400 - _HOUR_S <= event["since_s"] < 14 * 86_400 + 4 * _HOUR_S  # type: ignore[operator]
    assert watch.drifted(14 * 86_400) == {"l3": 1}
    assert watch.drifted(14 * 86_400 + DRIFTED_S + 86_400) == {"l3": 0}
    (standing,) = watch.standings()
    assert (standing.probe, standing.relation, standing.changed_s) == (
        "cacheline_cas",
        "l3",
        event["since_s"],
    )


def test_visits_that_are_not_sound_are_not_looked_at() -> None:
    watch = Watch()
    assert _days(watch, 14, 26.0) == []
    assert _days(watch, 7, 80.0, start_day=14, verdict="noisy") == []


def test_moving_vcpus_raise_no_alarm() -> None:
    watch, chooser, events = Watch(), random.Random(3), []
    for hour in range(60 * 24):
        place = chooser.choice([9.0, 26.0, 109.0])
        event = watch.observe(
            _identity(), "latency_ns", _visit(hour * _HOUR_S, place * chooser.gauss(1, 0.02))
        )
        events += [event] if event else []
    assert events == []


def test_relations_are_watched_apart_and_only_in_their_first_variant() -> None:
    watch, chooser = Watch(), random.Random(4)
    events = []
    for hour in range(20 * 24):
        for relation, model, base in (
            ("l3", "thread", 26.0),
            ("package", "thread", 110.0),
            ("l3", "process", 27.0),
        ):
            moved = (relation, model) != ("l3", "thread") and hour >= 16 * 24
            value = base * (1.4 if moved else 1.0) * chooser.gauss(1, 0.01)
            identity = Identity("cacheline_cas", Target((0, 1)), {"model": model}, relation)
            event = watch.observe(identity, "latency_ns", _visit(hour * _HOUR_S, value))
            events += [event] if event else []
    assert [(event["relation"], event["variant"]) for event in events] == [("package", "model=thread")]


def test_no_more_groups_are_watched_than_the_false_alarm_rate_allows_and_no_probe_takes_all() -> None:
    alone, watch = Watch(), Watch()
    for node in range(40):
        alone.observe(
            Identity("memory_latency", Target((0,), node=node), {}), "latency_ns", _visit(0.0, 90.0)
        )
        for probe in ("memory_latency", "cacheline_cas", "cacheline_handover", "cacheline_bandwidth"):
            identity = Identity(probe, Target((0,), node=node), {})
            watch.observe(identity, "latency_ns", _visit(0.0, 90.0))
    counts = Counter(standing.probe for standing in watch.standings())
    assert sum(counts.values()) == GROUPS_MAX[HOURLY]
    assert min(counts.values()) > 0
    assert len(alone.standings()) == GROUPS_OF_A_PROBE_MAX


def _bandwidth(core_set: str) -> Identity:
    return Identity("memory_bandwidth", Target((0,), 0, core_set), {"operation": "read"})


def _daily(watch: Watch, days: range, value: float) -> list[dict[str, object]]:
    """Visits of one core set a day, and of another that never changes."""
    chooser = random.Random(days.start)
    events = []
    for day in days:
        for core_set, base in (("compact:1", 10.0), ("compact:4", value)):
            visit = _visit(day * 86_400.0 + 100.0, base * chooser.gauss(1, 0.01))
            event = watch.observe(_bandwidth(core_set), "latency_ns", visit)
            events += [event] if event else []
    return events


def test_what_is_visited_once_a_day_is_watched_by_core_set_and_found_in_days() -> None:
    watch = Watch()
    assert _daily(watch, range(40), 30.0) == []
    kept = msgspec.json.decode(msgspec.json.encode(watch.memory()), type=WatchMemory)
    (event,) = _daily(Watch(kept), range(40, 47), 24.0)
    assert event["relation"] == "compact:4 to node 0"
    assert event["ratio"] == pytest.approx(0.8, rel=0.02)
    assert 39 * 86_400 <= event["since_s"] <= 42 * 86_400  # type: ignore[operator]


def test_daily_groups_take_nothing_from_the_hourly_ones() -> None:
    watch = Watch()
    for node in range(40):
        watch.observe(Identity("memory_latency", Target((0,), node), {}), "latency_ns", _visit(0.0, 90.0))
        for probe in ("spawn", "switch", "wakeup", "ipc", "false_sharing"):
            watch.observe(Identity(probe, Target((node,)), {}), "latency_ns", _visit(0.0, 90.0))
    counts = Counter(standing.probe for standing in watch.standings())
    assert counts.pop("memory_latency") == GROUPS_OF_A_PROBE_MAX
    assert sum(counts.values()) == GROUPS_MAX[DAILY]


def _both(first: Watch, second: Watch, days: int, value: float, start_day: int) -> list[dict[str, object]]:
    """The same visits for both, which have to say the same."""
    events = _days(first, days, value, start_day, seed=start_day)
    assert _days(second, days, value, start_day, seed=start_day) == events
    return events


@pytest.mark.parametrize("restart_day", [2, 9, 20, 30])
def test_a_restart_changes_nothing(restart_day: int) -> None:
    """Kept and read again at any time, also with a change under way, a watch goes on as if it had run on."""
    whole = Watch()
    _days(whole, restart_day, 26.0)
    kept = msgspec.json.decode(msgspec.json.encode(whole.memory()), type=WatchMemory)
    again = Watch(kept)
    assert again.memory() == whole.memory()
    assert again.standings() == whole.standings()
    assert _both(whole, again, 8, 26.0, restart_day) == []
    events = _both(whole, again, 3, 36.4, restart_day + 8)
    assert len(events) == (1 if restart_day + 8 >= 10 else len(events))
    assert again.standings() == whole.standings()
    assert again.drifted(86_400.0 * (restart_day + 9)) == whole.drifted(86_400.0 * (restart_day + 9))


def test_a_group_whose_visits_vary_too_much_is_noisy() -> None:
    watch, chooser = Watch(), random.Random(5)
    for hour in range(20 * 24):
        watch.observe(
            _identity(), "latency_ns", _visit(hour * _HOUR_S, 26.0 * chooser.lognormvariate(0, 0.08))
        )
    (standing,) = watch.standings()
    assert standing.state == "noisy"
