"""The unfinished matrix's file, and what a full disk costs: the keeping, never the measuring."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from toposcope.cli import _measuring, _partial
from toposcope.errors import StoreError
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.results import Identity, Target, Visit
from toposcope.store import Store
from toposcope_probes.contract import Measure, ProbeSpec, TargetKind

_SPEC = ProbeSpec("cacheline_cas", "Help.", "op", TargetKind.PAIR, (Measure("latency_ns", "help"),))
_CPUS = (0, 1, 2)


def _visited(first: int, second: int, verdict: str = "ok") -> tuple[Task, Visit]:
    identity = Identity("cacheline_cas", Target((first, second)), {"model": "thread"})
    return Task(ProbeChoice(_SPEC, 1.0, 1.0), identity, 2), Visit(5.0, 0.1, verdict, "", {})  # type: ignore[arg-type]


def _console() -> Console:
    return Console(file=io.StringIO(), width=200)


def _said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _open(directory: Path, *, afresh: bool = False, cpus: tuple[int, ...] = _CPUS, name: str = "f") -> Any:
    return _partial.open_partial(directory, name, "cacheline_cas", cpus, _console(), afresh=afresh)


def _path(directory: Path) -> Path:
    return _partial.path_of(directory, "cacheline_cas")


def _keep(directory: Path, *visited: tuple[Task, Visit]) -> None:
    with _open(directory) as partial:
        partial.keep(visited)


def test_what_was_kept_is_there_again_until_the_matrix_is_whole(tmp_path: Path) -> None:
    _keep(tmp_path, _visited(0, 1), _visited(0, 2, "failed"))
    assert _partial.is_unfinished(tmp_path, "f", "cacheline_cas", _CPUS)
    with _open(tmp_path) as partial:
        assert list(partial.visits) == ["cacheline_cas/cpus=0,1/model=thread"], "failed pairs are tried again"
        partial.finish()
    assert not _path(tmp_path).exists()
    assert not _partial.is_unfinished(tmp_path, "f", "cacheline_cas", _CPUS)


@pytest.mark.parametrize("other", [{"afresh": True}, {"cpus": (0, 1)}, {"name": "another machine"}])
def test_what_belongs_to_another_matrix_is_not_gone_on_with(tmp_path: Path, other: dict[str, Any]) -> None:
    _keep(tmp_path, _visited(0, 1))
    with _open(tmp_path, **other) as partial:
        assert not partial.visits


def test_yesterday_s_matrix_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _keep(tmp_path, _visited(0, 1))
    monkeypatch.setattr(_partial, "RESUME_S_MAX", 0.0)
    assert not _partial.is_unfinished(tmp_path, "f", "cacheline_cas", _CPUS)
    with _open(tmp_path) as partial:
        assert not partial.visits


def test_a_line_that_was_cut_off_costs_its_own_pair_and_no_later_one(tmp_path: Path) -> None:
    _keep(tmp_path, _visited(0, 1), _visited(0, 2))
    whole = _path(tmp_path).read_bytes().rstrip(b"\n")
    _path(tmp_path).write_bytes(whole[:-10])
    _keep(tmp_path, _visited(1, 2))
    with _open(tmp_path) as partial:
        assert [key.split("/")[1] for key in partial.visits] == ["cpus=0,1", "cpus=1,2"]


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_no_file_is_too_odd_to_be_opened(tmp_path: Path, content: bytes) -> None:
    _path(tmp_path).write_bytes(content)
    _partial.is_unfinished(tmp_path, "f", "cacheline_cas", _CPUS)
    with _open(tmp_path) as partial:
        assert not partial.visits


def test_a_second_matrix_at_the_same_time_is_measured_and_not_kept(tmp_path: Path) -> None:
    console = _console()
    with (
        _open(tmp_path) as first,
        _partial.open_partial(tmp_path, "f", "cacheline_cas", _CPUS, console, afresh=False) as second,
    ):
        second.keep([_visited(0, 1)])
        first.keep([_visited(0, 2)])
        second.finish()
        assert _path(tmp_path).exists(), "the first one's file is not the second one's to remove"
    assert "another toposcope matrix" in _said(console)


def test_a_folder_that_cannot_be_written_is_said_and_no_obstacle(tmp_path: Path) -> None:
    console = _console()
    (tmp_path / "file").write_text("")
    with _partial.open_partial(tmp_path / "file", "f", "p", _CPUS, console, afresh=False) as partial:
        partial.keep([_visited(0, 1)])
        partial.finish()
    assert "can't be resumed" in _said(console)


def test_visits_of_a_process_are_committed_together_or_not_at_all(tmp_path: Path) -> None:
    rows = [(task.identity, "latency_ns", visit) for task, visit in (_visited(0, 1), _visited(0, 2))]
    with Store(tmp_path) as store:
        store.record_all("f", rows)
        assert [identity.target.cpus for identity, _, _ in store.results("f", 9)] == [(0, 1), (0, 2)]
        store._database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON results WHEN NEW.id LIKE '%=3,4%'"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        late = [(task.identity, "latency_ns", visit) for task, visit in (_visited(1, 2), _visited(3, 4))]
        with pytest.raises(StoreError, match="disk full"):
            store.record_all("f", late)
        assert len(list(store.results("f", 9))) == 2


def test_a_store_that_fails_is_given_up_once_and_measuring_goes_on() -> None:
    class _Full:
        calls = 0

        def record_all(self, *_: object) -> None:
            self.calls += 1
            raise StoreError("the disk is full")

    store, console = _Full(), _console()
    record = _measuring._Recorder(store, "f", console)  # type: ignore[arg-type]
    record([_visited(0, 1)])
    record([_visited(0, 2)])
    assert store.calls == 1
    assert _said(console).count("not stored any more: the disk is full") == 1
