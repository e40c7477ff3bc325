"""`toposcope diff`: two exported files or two stored times, and what it says where it can't compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from toposcope.cli._moments import parse_moment
from toposcope.cli.diff import command
from toposcope.compare import settings_changed_between
from toposcope.results import Estimate, Identity, Target, Visit
from toposcope.store import Store

_DAY_S = 86_400.0
_PAIR = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "l3")


def _diff(*arguments: str) -> Result:
    return CliRunner(env={"TOPOSCOPE_URL": ""}).invoke(command, list(arguments), standalone_mode=False)


def _visit(time_s: float, value: float) -> Visit:
    estimate = Estimate(value, value, value, value, value * 0.99, value * 1.01, 0.0)
    return Visit(time_s, 0.003, "ok", "", {"latency_ns": estimate}, 100)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration with a store that holds 30 days at 26 ns and then 10 at 39 ns, since 2026-01-01 UTC."""
    begin_s = 1_767_225_600.0
    with Store(tmp_path / "store") as store:
        for day in range(40):
            value = 26.0 if day < 30 else 39.0
            visits = [_visit(begin_s + day * _DAY_S + hour * 3600, value) for hour in range(24)]
            store.record_all("m", [(_PAIR, "latency_ns", visit) for visit in visits])
        store.add_event(begin_s + 30 * _DAY_S, "baseline_reset", {"changed": {"microcode": ["0x1", "0x2"]}})
        store.add_event(begin_s + 30 * _DAY_S, "drift", {"ratio": 1.5})
        store.prune(begin_s + 40 * _DAY_S, raw_days=5, daily_days=400, max_bytes=1 << 30)
    (tmp_path / "config.yaml").write_text(f"store:\n  directory: {tmp_path / 'store'}\n")
    return str(tmp_path / "config.yaml")


@pytest.fixture(autouse=True)
def _no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toposcope.cli._source.find_daemon", lambda url: None)


def test_two_stored_times_are_compared_singly_and_by_a_day_s_quantiles(config: str) -> None:
    for later in ("2026-02-09T12:00+00:00", "2026-02-02T12:00+00:00"):  # visits, and a day's quantiles
        answer = _diff("2026-01-10T12:00+00:00", later, "--config", config, "--format", "json")
        assert answer.exception is None, answer.output
        document = json.loads(answer.output)
        (change,) = document["results"]
        assert (change["id"], change["change"]) == (_PAIR.id, "slower")
        assert change["ratio"] == pytest.approx(1.5)
        assert document["settings"] == {"microcode": ["0x1", "0x2"]}
    same = _diff("2026-01-10T12:00+00:00", "2026-01-20T12:00+00:00", "--config", config)
    assert "0 of 1 results changed" in same.output


def test_a_time_of_which_nothing_is_stored_is_named(config: str) -> None:
    answer = _diff("2025-06-01", "2026-02-09", "--config", config)
    assert "nothing is stored of the day before 2025-06-01 00:00" in str(answer.exception)


@pytest.mark.parametrize(("first", "second"), [("2026-01-10", "no-such-file"), ("nonsense", "now")])
def test_what_is_neither_a_file_nor_a_time_is_refused(config: str, first: str, second: str) -> None:
    answer = _diff(first, second, "--config", config)
    assert "can't be read: No such file" in str(answer.exception)


def test_files_are_compared_as_before_and_other_lines_are_passed_over(tmp_path: Path) -> None:
    def export(name: str, value: float, microcode: str) -> str:
        lines: list[dict[str, Any]] = [
            {"kind": "machine", "topology": {"settings": {"microcode": microcode}, "fingerprint": "f"}},
            {"kind": "result", "id": _PAIR.id, "verdict": "ok", "latency_ns_estimate": value,
             "latency_ns_low": value, "latency_ns_high": value},
            {"kind": "history", "id": _PAIR.id, "measure": "latency_ns", "points": []},
        ]  # fmt: skip
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(tmp_path / name)

    answer = _diff(export("a.jsonl", 26.0, "0x1"), export("b.jsonl", 20.0, "0x2"))
    assert "setting microcode: 0x1 -> 0x2" in answer.output
    assert "faster" in answer.output
    assert "1 of 1 results changed" in answer.output


def test_moments_are_read_as_people_write_them() -> None:
    now_s = 1_767_225_600.0
    assert parse_moment("now", now_s) == now_s
    assert parse_moment("7d", now_s) == now_s - 7 * _DAY_S
    assert parse_moment("-1.5h", now_s) == now_s - 5400
    assert parse_moment("2026-01-01T00:00+00:00", 0.0) == now_s
    assert parse_moment("2026-01-01T01:00+01:00", 0.0) == now_s
    for text in ("", "yesterday", "7", "d", "2026-13-01", "9" * 400, "99999w99"):
        assert parse_moment(text, now_s) is None


def test_settings_between_two_times_are_the_first_and_the_last_of_each() -> None:
    def reset(time_s: float, **changed: list[str]) -> dict[str, Any]:
        return {"time_s": time_s, "kind": "baseline_reset", "changed": changed}

    events = [reset(5, kernel=["b", "c"]), reset(3, kernel=["a", "b"], turbo=["on", "off"]),
              reset(6, turbo=["off", "on"]), reset(9, kernel=["c", "d"])]  # fmt: skip
    assert settings_changed_between(events, 1, 7) == {"kernel": ("a", "c")}
    assert settings_changed_between(events, 7, 1) == {"kernel": ("c", "a")}
    assert settings_changed_between(events, 7, 8) == {}
