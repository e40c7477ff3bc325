"""CPU lists and masks: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines import generate
from toposcope.topology.cpulist import MAX_ID, format_cpulist, parse_cpulist, parse_mask

cpu_sets = st.sets(st.integers(0, 600) | st.integers(0, MAX_ID), max_size=60)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8\n", (0, 1, 2, 3, 8)), ("", ()), ("\n", ()), ("(null)\n", ()), ("5", (5,)), ("3,1,1-2", (1, 2, 3)),
     ("0-9:2/4", (0, 1, 4, 5, 8, 9)), ("0-7:1/2", (0, 2, 4, 6))],
)  # fmt: skip
def test_list_is_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpulist(text) == cpus


@pytest.mark.parametrize(
    "text", ["-1", "3-1", "1-", "a", "1;2", "0-65536", "99999999999", "1,,2", "²", "0-9:0/4", "0-9:5/4", "+1"]
)
def test_what_is_no_list_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse_cpulist(text)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("00000000,0000010f\n", (0, 1, 2, 3, 8)), ("0", ()), ("00000000,00000000", ()), ("", ()), ("(null)", ()),
     ("1,00000000,00000000", (64,)), ("3,1", (0, 32, 33)), ("8000,00000000", (47,)), ("FF", tuple(range(8)))],
)  # fmt: skip
def test_mask_is_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_mask(text) == cpus


@pytest.mark.parametrize("text", ["0x3", "1_0", "g", "1,123456789", "-1", "f" * 20000, "1,,2", "1 2"])
def test_what_is_no_mask_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no mask|too long"):
        parse_mask(text)


@given(cpu_sets)
def test_list_round_trip(cpus: set[int]) -> None:
    assert parse_cpulist(format_cpulist(cpus)) == tuple(sorted(cpus))
    assert format_cpulist(cpus) == generate.cpulist(cpus)


@given(cpu_sets, st.integers(0, 4096))
def test_mask_round_trip(cpus: set[int], wider: int) -> None:
    width = max(cpus, default=0) + 1 + wider
    assert parse_mask(generate.mask(cpus, width)) == tuple(sorted(cpus))


@given(st.text(max_size=40) | st.text(alphabet="0123456789-,:/abcdef \n\0", max_size=40))
def test_any_text_is_a_set_or_a_value_error(text: str) -> None:
    for parse in (parse_cpulist, parse_mask):
        try:
            cpus = parse(text)
        except ValueError as error:
            assert len(str(error)) < 160
        else:
            assert list(cpus) == sorted(set(cpus))
            assert all(0 <= cpu <= MAX_ID for cpu in cpus)
