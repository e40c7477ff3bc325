"""A representative that moved has everything looked at again; one that repeats, strays or flips does not."""

from __future__ import annotations

from toposcope.measure.revalidation import (
    FULL_LOOK_INTERVAL_S_MIN,
    KNOWN_VISITS_MIN,
    MOVED_VISITS_MIN,
    Next,
    Revalidation,
)
from toposcope.measure.validity import judge_result
from toposcope.results import Estimate, Identity, Result, Target, Visit

_IDENTITY = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "l3")


def _visit(value: float, time_s: float = 0.0, verdict: str = "ok") -> Visit:
    estimate = Estimate(value, value, value, value, value * 0.99, value * 1.01, 1.0)
    return Visit(time_s, 0.003, verdict, "", {"latency_ns": estimate}, 100)  # type: ignore[arg-type]


def _follow(
    revalidation: Revalidation, values: list[float], history: list[Visit], at_s: float = 0.0
) -> list[Next]:
    """Visit after visit as the daemon does it: asked before the visit joins the history."""
    answers = []
    for index, value in enumerate(values):
        before: Result | None = judge_result(_IDENTITY, "latency_ns", history) if history else None
        visit = _visit(value, at_s + index)
        answers.append(revalidation.observe(before, visit, at_s + index))
        history.append(visit)
    return answers


def _known(value: float = 26.0, visits: int = 20) -> list[Visit]:
    return [_visit(value, float(i)) for i in range(visits)]


def test_repeats_ask_for_nothing() -> None:
    assert set(_follow(Revalidation(), [26.0, 27.0, 25.1, 28.0], _known())) == {Next.NOTHING}


def test_a_move_is_confirmed_and_then_everything_is_looked_at() -> None:
    answers = _follow(Revalidation(), [109.0] * MOVED_VISITS_MIN, _known())
    assert answers == [Next.LOOK_AGAIN] * (MOVED_VISITS_MIN - 1) + [Next.FULL_LOOK]


def test_a_move_to_less_counts_as_well() -> None:
    assert _follow(Revalidation(), [9.0] * MOVED_VISITS_MIN, _known())[-1] is Next.FULL_LOOK


def test_strays_are_looked_at_again_and_forgotten() -> None:
    answers = _follow(Revalidation(), [109.0, 26.0, 109.0, 26.0, 26.0], _known())
    assert Next.FULL_LOOK not in answers
    assert answers[-1] is Next.NOTHING


def test_modes_that_are_known_are_no_news() -> None:
    history = [_visit(value, float(i)) for i, value in enumerate([26.0, 109.0] * 10)]
    answers = _follow(Revalidation(), [26.0] * 5 + [109.0] * 5 + [26.0] * 5, history)
    assert set(answers) == {Next.NOTHING}


def test_a_value_that_is_hardly_known_cannot_have_moved() -> None:
    assert set(_follow(Revalidation(), [109.0], _known(visits=KNOWN_VISITS_MIN - 1))) == {Next.NOTHING}
    assert Revalidation().observe(None, _visit(26.0), 0.0) is Next.NOTHING


def test_noisy_visits_prove_nothing() -> None:
    before = judge_result(_IDENTITY, "latency_ns", _known())
    revalidation = Revalidation()
    assert {revalidation.observe(before, _visit(109.0, verdict="noisy"), float(i)) for i in range(9)} == {
        Next.NOTHING
    }


def test_full_looks_have_a_least_distance() -> None:
    revalidation = Revalidation()
    assert _follow(revalidation, [109.0] * 3, _known())[-1] is Next.FULL_LOOK
    assert Next.FULL_LOOK not in _follow(revalidation, [400.0] * 3, _known(109.0), 100.0)
    later_s = FULL_LOOK_INTERVAL_S_MIN + 10
    assert _follow(revalidation, [400.0] * 3, _known(109.0), later_s)[-1] is Next.FULL_LOOK
