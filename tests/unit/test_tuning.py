"""The tuning's decisions on made-up runs, and its interval against what the literature says."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advise_machines import two_sockets
from toposcope.advise.facts import Evidence
from toposcope.advise.request import Request
from toposcope.errors import UsageError
from toposcope.measure.tuning import Tuning, Verdict, rounds_needed, signed_rank_interval
from toposcope.trials import TRIALS_MAX, parse_metric, trials_of


def decide(names: dict[str, Callable[[], float]], rounds: int = 10, **options: Any) -> Verdict:
    tuning = Tuning(list(names), rounds=rounds, seed=1, **options)
    while order := tuning.next_round():
        for name in order:
            tuning.record(name, names[name]())
    return tuning.verdict()


def noisy(center: float, rng: random.Random, spread: float = 0.03) -> Callable[[], float]:
    return lambda: center * math.exp(rng.gauss(0, spread))


def test_a_clear_winner_is_named_with_its_gain() -> None:
    rng = random.Random(5)
    verdict = decide({"unchanged": noisy(1.2, rng), "near": noisy(1.0, rng), "apart": noisy(1.5, rng)})
    assert (verdict.answer, verdict.winner) == ("winner", "near")
    near = verdict.standings[1]
    assert near.gain is not None
    assert near.gain.low is not None
    assert near.gain.high is not None
    assert 1 < near.gain.low < 1.2 < near.gain.high


def test_losers_stop_early_but_the_one_to_beat_runs_to_the_end() -> None:
    rng = random.Random(6)
    verdict = decide({"unchanged": noisy(2.0, rng), "near": noisy(1.0, rng), "apart": noisy(3.0, rng)})
    runs = {each.name: (len(each.values), each.stopped_early) for each in verdict.standings}
    assert runs == {"unchanged": (10, False), "near": (10, False), "apart": (3, True)}


def test_leaving_it_can_win() -> None:
    rng = random.Random(7)
    verdict = decide({"unchanged": noisy(1.0, rng), "near": noisy(1.04, rng, 0.002)})
    assert (verdict.answer, verdict.winner) == ("winner", "unchanged")
    far = decide({"unchanged": lambda: 1.0, "near": lambda: 2.0})
    assert (far.winner, len(far.standings[0].values)) == ("unchanged", 3)


def test_where_nothing_differs_it_seldom_says_otherwise() -> None:
    wrong = 0
    for seed in range(200):
        rng = random.Random(seed)
        wrong += (
            decide({name: noisy(1.0, rng, 0.1) for name in ("unchanged", "a", "b", "c")}).winner is not None
        )
    assert wrong <= 20  # 5 % are 10 of 200; twice that has a probability of 0.1 %


def test_a_difference_too_small_to_matter_is_none() -> None:
    rng = random.Random(3)
    assert decide({"unchanged": noisy(1.005, rng, 1e-4), "near": noisy(1.0, rng, 1e-4)}).winner is None


def test_more_may_be_better() -> None:
    verdict = decide({"unchanged": lambda: 100.0, "near": lambda: 130.0}, higher_is_better=True)
    assert verdict.winner == "near"
    assert verdict.standings[1].gain is not None
    assert verdict.standings[1].gain.ratio == pytest.approx(1.3)


def test_ties_with_the_winner_are_named() -> None:
    rng = random.Random(8)
    verdict = decide({"unchanged": noisy(2.0, rng), "a": noisy(1.0, rng), "b": noisy(1.0, rng)})
    assert {verdict.winner, *verdict.as_good} == {"a", "b"}


def test_too_few_rounds_tell_nothing() -> None:
    verdict = decide({"unchanged": lambda: 2.0, "near": lambda: 1.0}, rounds=3)
    assert verdict.answer == "no difference"
    assert "6 rounds are needed" in verdict.reason
    assert Tuning(["a", "b"], rounds=9, seed=1).verdict().reason == "nothing was run to the end of a round"


def test_every_round_has_an_order_of_its_own() -> None:
    tuning = Tuning(list("abcd"), rounds=20, seed=2)
    orders = set()
    for _ in range(20):
        order = tuning.next_round()
        orders.add(tuple(order))
        for name in order:
            tuning.record(name, 1.0)
    assert len(orders) > 10
    assert tuning.next_round() == []


# Hollander & Wolfe, table A.4: P(T+ >= t) for n = 10: t = 47 is 0.024, t = 45 is 0.042.
@pytest.mark.parametrize(("error", "rank"), [(0.05, 8), (0.1, 10)])
def test_the_interval_takes_the_ranks_of_the_tables(error: float, rank: int) -> None:
    sample = [1.0 * 3**index for index in range(10)]
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(sample, 2))
    _, low, high = signed_rank_interval(sample, error)
    assert (low, high) == (walsh[rank], walsh[-1 - rank])


def test_rounds_needed_is_where_intervals_begin() -> None:
    for ways in range(2, TRIALS_MAX + 1):
        enough = rounds_needed(ways)
        error = 0.05 / (ways - 1)
        assert signed_rank_interval([1.0] * enough, error)[1] is not None
        assert signed_rank_interval([1.0] * (enough - 1), error)[1] is None


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_the_centre_is_within_its_interval(sample: list[float]) -> None:
    center, low, high = signed_rank_interval(sample, 0.05)
    assert (low is None) == (len(sample) < 6)
    assert low is None or high is None or low <= center <= high


# ------------------------------------------------------------------------------ what is tried


def test_each_set_of_cpus_is_tried_once_and_unchanged_comes_first() -> None:
    machine = two_sockets()
    tried = trials_of(Request(workers=4), Evidence(machine), {}, frozenset(machine.online_cpus))
    assert [trial.name for trial in tried][:2] == ["unchanged", "advised"]
    sets = [frozenset(trial.start.cpus or ()) for trial in tried]
    assert len(set(sets)) == len(sets) <= TRIALS_MAX
    assert len(sets) >= 3


def test_what_changes_nothing_is_not_tried() -> None:
    machine = two_sockets()
    request = Request(workers=len(machine.online_cpus), sharing="isolated", smt="allow")
    everything = frozenset(machine.online_cpus)
    mine = {"OMP_NUM_THREADS": "1", "OMP_PLACES": "cores"}
    tried = trials_of(request, Evidence(machine), mine, everything)
    assert all(trial.start.cpus is None or frozenset(trial.start.cpus) != everything
               or trial.start.memory_policy != "default" for trial in tried)  # fmt: skip


@pytest.mark.parametrize("text", ["[", "no group", "(a)(b)"])
def test_bad_metrics_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_metric(text)
    assert "for example" in caught.value.hint
