"""Two exports or stored times of a host compared: what moved by more than its interval; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

Change = Literal["same", "slower", "faster", "higher", "lower", "new", "gone", "verdict"]

# Below this ratio a difference is not worth telling even where the intervals are tighter still.
WORTH_RATIO: Final = 0.05
_ESTIMATE: Final = "_estimate"


class Difference(msgspec.Struct, frozen=True):
    """One result in both exports (or in one). `ratio` is after / before, None where one has no value."""

    id: str
    measure: str
    change: Change
    before: float | None
    after: float | None
    ratio: float | None
    verdict_before: str
    verdict_after: str


def compare(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """Every result of either export, largest change first; results are those of `results.to_json`."""
    old = {str(result["id"]): result for result in before}
    new = {str(result["id"]): result for result in after}
    found = [_difference(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]
    return sorted(found, key=lambda each: -_size(each))


def settings_changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs in the machine's settings and fingerprint: name to (before, after)."""
    old = {**before.get("settings", {}), "fingerprint": before.get("fingerprint")}
    new = {**after.get("settings", {}), "fingerprint": after.get("fingerprint")}
    return {
        name: (old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def settings_changed_between(
    events: Iterable[Mapping[str, Any]], from_s: float, to_s: float
) -> dict[str, tuple[Any, Any]]:
    """What the `baseline_reset` events between two times say has changed: name to (first, last)."""
    changed: dict[str, tuple[Any, Any]] = {}
    low_s, high_s = min(from_s, to_s), max(from_s, to_s)
    for event in sorted(events, key=lambda event: event["time_s"]):
        if event["kind"] != "baseline_reset" or not low_s < event["time_s"] <= high_s:
            continue
        for name, (old, new) in event["changed"].items():
            first = changed[name][0] if name in changed else old
            changed[name] = (first, new)
    return {
        name: pair if from_s <= to_s else pair[::-1]
        for name, pair in sorted(changed.items())
        if pair[0] != pair[1]
    }


def _difference(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Difference:
    measure = _measure(new) or _measure(old) or ""
    value_before, value_after = _value(old, measure), _value(new, measure)
    ratio = value_after / value_before if value_before and value_after is not None else None
    return Difference(
        id=name,
        measure=measure,
        change=_change(measure, old, new, ratio),
        before=value_before,
        after=value_after,
        ratio=ratio,
        verdict_before=str(old["verdict"]) if old else "",
        verdict_after=str(new["verdict"]) if new else "",
    )


def _change(
    measure: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, ratio: float | None
) -> Change:
    if old is None:
        return "new"
    if new is None:
        return "gone"
    if ratio is None:
        return "same" if old["verdict"] == new["verdict"] else "verdict"
    if abs(ratio - 1) < WORTH_RATIO or _overlap(measure, old, new):
        return "same" if old["verdict"] == new["verdict"] else "verdict"
    if measure.endswith("_ns"):
        return "slower" if ratio > 1 else "faster"
    return "higher" if ratio > 1 else "lower"


def _overlap(measure: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    low, high = f"{measure}_low", f"{measure}_high"
    return bool(old[low] <= new[high] and new[low] <= old[high])


def _measure(result: Mapping[str, Any] | None) -> str | None:
    """The result's first measure: what its first `…_estimate` is about."""
    names = (name for name in result or () if name.endswith(_ESTIMATE))
    first = next(names, None)
    return first.removesuffix(_ESTIMATE) if first else None


def _value(result: Mapping[str, Any] | None, measure: str) -> float | None:
    value = (result or {}).get(measure + _ESTIMATE)
    return float(value) if value is not None else None


def _size(difference: Difference) -> float:
    if difference.change == "same":
        return 0.0
    if difference.ratio is None or difference.ratio <= 0:
        return 1.0
    return 1 + max(difference.ratio, 1 / difference.ratio)
