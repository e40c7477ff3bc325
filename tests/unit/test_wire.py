"""Lines of the measuring programs: the contract's form is read, all else is one GarbageError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toposcope.measure import wire

_GOOD = {
    "schema_version": 1, "kernel": "cacheline_cas", "cpus": [0, 1], "status": "ok",
    "samples": {"latency_ns": [[26.0, 27.0], [25.0]]}, "batches_kept": 3, "batches_dropped": {"migration": 1},
}  # fmt: skip


def test_a_line_of_the_contract_is_read() -> None:
    line = wire.decode(msgspec.json.encode(_GOOD))
    assert line.cpus == (0, 1)
    assert line.samples["latency_ns"] == [[26.0, 27.0], [25.0]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema_version": 2}, "schema version 2, expected 1"),
        ({"status": "fine"}, "not a result line"),
        ({"cpus": [-1]}, "not a result line"),
        ({"samples": {"latency_ns": [[-1.0]]}}, "is negative or not a number"),
        ({"samples": {"latency_ns": [[1.0] * 60_000] * 2}}, "more than 100000 samples"),
    ],
)
def test_lines_off_the_contract_are_garbage(change: dict[str, object], expected: str) -> None:
    with pytest.raises(wire.GarbageError, match=expected):
        wire.decode(msgspec.json.encode(_GOOD | change))


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_line_or_garbage(content: bytes) -> None:
    try:
        wire.decode(content)
    except wire.GarbageError as error:
        assert str(error)


def test_a_line_without_end_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(wire.GarbageError, match="bytes, more than"):
        wire.decode(b" " * (wire.LINE_BYTES_MAX + 1))
