"""Advice as people read it: what to do comes first, all fits the terminal, and commands stay whole."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advise_machines import two_sockets
from toposcope.advise.facts import Evidence
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.matrix import matrix_of_pairs
from toposcope.render.advice_text import advice_text, folded

MACHINE = two_sockets()
PAIRS = {(a, b): 20.0 if a // 8 == b // 8 else 150.0 for a in range(16) for b in range(a)}
MEASURED = Evidence(MACHINE, matrix=matrix_of_pairs(range(16), PAIRS), age_s=60.0, placement="stable")


@pytest.mark.parametrize("options", [{}, {"sharing": "isolated"}, {"bound": "io", "runtime": "python"}])
@pytest.mark.parametrize("evidence", [MEASURED, Evidence(MACHINE)], ids=["measured", "nothing measured"])
def test_every_line_but_a_command_fits_80_columns(evidence: Evidence, options: dict[str, str]) -> None:
    answer = recommend(Request(4, **options), evidence, ["solver", "--" + "long" * 30])  # type: ignore[arg-type]
    text = advice_text(answer, 80)
    commands = {line for one in answer.placements for line in one.commands["taskset"].splitlines()}
    commands |= {line for one in answer.placements for line in one.commands["numactl"].splitlines()}
    whole = {line.strip() for line in text.splitlines()} & commands
    assert whole, "a command is there as it is"
    assert all(len(line) <= 80 for line in text.splitlines() if line.strip() not in commands)


def test_what_to_do_comes_first() -> None:
    text = advice_text(recommend(Request(4), MEASURED, ["solver"]), 80).splitlines()
    assert text[0].startswith("place: 4 workers on CPUs 0,2,4,6 as threads")
    assert any(line.strip().startswith("taskset --cpu-list 0,2,4,6 solver") for line in text[:4])
    text = advice_text(recommend(Request(4), Evidence(MACHINE), ["solver"]), 80).splitlines()
    assert text[0] == "leave: start it without any placement, as threads"
    assert "`toposcope recommend --measure` does it" in " ".join(" ".join(text[1:6]).split())


def test_another_machine_is_measured_over_there() -> None:
    there = dataclasses.replace(Evidence(MACHINE), mode="replay")
    text = " ".join(advice_text(recommend(Request(4), there), 80).split())
    assert "`toposcope matrix --measure --format csv` there" in text


@given(st.text(alphabet=st.sampled_from("ab  -\n"), max_size=400))
def test_folding_loses_no_word(text: str) -> None:
    assert folded(text, 80).split() == text.split()
    assert all(len(line) <= 80 or " " not in line.strip() for line in folded(text, 80).splitlines())
