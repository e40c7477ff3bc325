"""Two exports compared: real changes are told, noise is not."""

from __future__ import annotations

from typing import Any

from toposcope.compare import compare, settings_changed


def _result(value: float, half_width: float = 0.5, **changes: Any) -> dict[str, Any]:
    return {
        "id": "cacheline_cas/cpus=0,1", "verdict": "ok", "latency_ns_estimate": value,
        "latency_ns_low": value - half_width, "latency_ns_high": value + half_width, **changes,
    }  # fmt: skip


def test_a_firmware_that_halves_the_cost_is_told_with_its_ratio() -> None:
    (found,) = compare([_result(208.0)], [_result(80.0)])
    assert found.change == "faster"
    assert found.ratio == 80.0 / 208.0


def test_what_intervals_or_five_percent_explain_is_the_same() -> None:
    assert compare([_result(26.0, 3.0)], [_result(30.0, 3.0)])[0].change == "same"
    assert compare([_result(26.0, 0.01)], [_result(26.9, 0.01)])[0].change == "same"


def test_for_rates_more_is_higher_and_not_slower() -> None:
    old = {
        "id": "b",
        "verdict": "ok",
        "bandwidth_bytes_per_s_estimate": 10.0,
        "bandwidth_bytes_per_s_low": 9.9,
        "bandwidth_bytes_per_s_high": 10.1,
    }
    new = {key: value * 2 if isinstance(value, float) else value for key, value in old.items()}
    assert compare([old], [new])[0].change == "higher"


def test_new_gone_and_changed_verdicts_are_told_and_the_largest_change_comes_first() -> None:
    unstable = {"id": "c", "verdict": "unstable"}
    ok = _result(20.0, id="c")
    found = compare(
        [_result(10.0, id="a"), _result(10.0, id="b"), ok],
        [_result(30.0, id="b"), unstable, _result(1.0, id="d")],
    )
    assert [(each.id, each.change) for each in found] == [
        ("b", "slower"),
        ("a", "gone"),
        ("c", "verdict"),
        ("d", "new"),
    ]


def test_settings_that_changed_are_told() -> None:
    before = {"settings": {"microcode": "0x1", "governor": "performance"}, "fingerprint": "a"}
    after = {"settings": {"microcode": "0x2", "governor": "performance"}, "fingerprint": "a"}
    assert settings_changed(before, after) == {"microcode": ("0x1", "0x2")}
