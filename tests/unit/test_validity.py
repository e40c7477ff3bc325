"""Verdicts: each rule fires on what it is about, and `unstable` never publishes a pooled value."""

from __future__ import annotations

import pytest

from toposcope.measure.validity import Surroundings, judge_result, judge_visit
from toposcope.results import Estimate, Identity, Target, Visit, to_json

_IDENTITY = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "l3")


def _estimate(value: float, half_width: float = 0.01) -> Estimate:
    return Estimate(
        value, value * 0.9, value, value * 1.2, value * (1 - half_width), value * (1 + half_width), 1.0
    )


def _visit(value: float, time_s: float = 0.0, verdict: str = "ok", reason: str = "") -> Visit:
    measures = {} if verdict in ("failed", "not_applicable") else {"latency_ns": _estimate(value)}
    return Visit(time_s, 0.003, verdict, reason, measures, 100, {"context_switch": 2})  # type: ignore[arg-type]


def _judge(**changes: object) -> tuple[str, str]:
    facts: dict[str, object] = {
        "batches_kept": 100,
        "batches_dropped": {"context_switch": 0},
        "checks": {"frequency_ratio": 1.0},
        "surroundings": Surroundings(),
        "duration_s": 0.004,
        "feels_load": False,
    }
    return judge_visit({"latency_ns": _estimate(26.0)}, "latency_ns", **(facts | changes))  # type: ignore[arg-type]


def test_a_quiet_visit_is_ok() -> None:
    assert _judge() == ("ok", "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"batches_kept": 40, "batches_dropped": {"context_switch": 60}},
            "60 of 100 batches were dropped: context_switch 60",
        ),
        ({"checks": {"frequency_ratio": 0.7}}, "the CPU ran 0.70 times as fast after the visit as before it"),
        ({"surroundings": Surroundings(steal_ms=10.0)}, "the hypervisor took 10 ms from these CPUs"),
        ({"checks": {"run_delay_ns": 3e6}}, "a thread waited 75% of the visit for its CPU"),
        (
            {"surroundings": Surroundings(busy=True), "feels_load": True},
            "its CPUs were busy with other work, which is in the numbers",
        ),
    ],
)
def test_each_rule_gives_its_reason(changes: dict[str, object], expected: str) -> None:
    assert _judge(**changes) == ("noisy", expected)


def test_waiting_is_no_reason_where_little_of_it_was_or_where_it_is_what_is_measured() -> None:
    assert _judge(checks={"run_delay_ns": 1e6}) == ("ok", "")
    assert _judge(checks={"run_delay_ns": 3e6}, feels_load=True) == ("ok", "")
    assert _judge(surroundings=Surroundings(busy=True)) == ("ok", "")


def test_a_wide_interval_is_noisy_and_no_batch_at_all_is_failed() -> None:
    facts = {"batches_kept": 5, "checks": {}, "surroundings": Surroundings(), "duration_s": 0.004,
             "feels_load": False}  # fmt: skip
    wide = judge_visit({"x_ns": _estimate(26.0, 0.3)}, "x_ns", batches_dropped={}, **facts)  # type: ignore[arg-type]
    assert wide == ("noisy", "the visit's interval is ±30% of its estimate")
    none = judge_visit({}, "x_ns", batches_dropped={"deadline": 7}, **(facts | {"batches_kept": 0}))  # type: ignore[arg-type]
    assert none == ("failed", "no batch was left of 7: deadline 7")


def test_an_unstable_result_shows_modes_and_no_pooled_value() -> None:
    visits = [_visit(value, float(i)) for i, value in enumerate([26.0, 109.0] * 5)]
    document = to_json(judge_result(_IDENTITY, "latency_ns", visits))
    assert document["verdict"] == "unstable"
    assert [mode["estimate"] for mode in document["modes"]] == [26.0, 109.0]
    assert not [key for key in document if key.startswith("latency_ns")]


def test_noisy_publishes_its_value_and_failed_does_not() -> None:
    noisy = to_json(judge_result(_IDENTITY, "latency_ns", [_visit(26.0, verdict="noisy", reason="steal")]))
    assert (noisy["verdict"], noisy["latency_ns_estimate"], noisy["reason"]) == ("noisy", 26.0, "steal")
    failed = to_json(
        judge_result(_IDENTITY, "latency_ns", [_visit(0.0, verdict="failed", reason="deadline")])
    )
    assert failed["verdict"] == "failed"
    assert "latency_ns_estimate" not in failed


def test_one_failed_visit_among_good_ones_costs_just_itself() -> None:
    visits = [_visit(26.0, 1.0), _visit(0.0, 2.0, "failed", "signal_9"), _visit(26.2, 3.0)]
    result = judge_result(_IDENTITY, "latency_ns", visits)
    assert result.verdict == "ok"
    assert result.last_success_time_s == 3.0
    assert result.batches_dropped == {"context_switch": 6}


def test_visits_that_disagree_without_modes_are_noisy() -> None:
    visits = [_visit(26.0 * 1.07**i, float(i)) for i in range(8)]
    assert judge_result(_IDENTITY, "latency_ns", visits).verdict == "noisy"
    assert judge_result(_IDENTITY, "latency_ns", [_visit(26.0), _visit(109.0)]).verdict == "noisy"


def test_a_few_sound_visits_among_noisy_ones_are_a_choice_and_not_a_result() -> None:
    """Found beside stress-ng: one sound visit of twelve was published, a quarter off."""
    noisy = [_visit(26.0, float(i), "noisy", "busy") for i in range(11)]
    mostly = judge_result(_IDENTITY, "latency_ns", [*noisy, _visit(19.0, 11.0)])
    assert (mostly.verdict, mostly.reason) == ("noisy", "9 of the latest 10 visits were: busy")
    later = [_visit(26.0, 20.0 + i) for i in range(6)]
    assert judge_result(_IDENTITY, "latency_ns", [*noisy, *later]).verdict == "ok"


def test_nothing_taken_from_a_cpu_is_a_result_like_any_other() -> None:
    """Found by fuzzing: a primary measure of zero ended the daemon, and again at each start."""
    result = judge_result(_IDENTITY, "latency_ns", [_visit(0.0, float(hour)) for hour in range(20)])
    assert result.verdict == "ok"
    mixed = [_visit(0.0 if hour < 19 else 3.0, float(hour)) for hour in range(20)]
    assert judge_result(_IDENTITY, "latency_ns", mixed).verdict in ("ok", "noisy")
