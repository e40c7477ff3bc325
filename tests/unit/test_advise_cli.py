"""`toposcope recommend` on files: its output, its exit status, and its parsers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from advise_machines import two_sockets
from shared_material import shared_path
from toposcope import replay
from toposcope.advise.communication import parse_communication
from toposcope.advise.matrix_only import with_cores_shown
from toposcope.advise.request import Edge
from toposcope.advise.siblings import siblings
from toposcope.cli._request import parse_size
from toposcope.cli.recommend import command
from toposcope.errors import UsageError
from toposcope.matrix import read_matrix
from toposcope.topology.document import to_document


def run(*arguments: object) -> str:
    done = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def answer(*arguments: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run(*arguments, "--format", "json"))
    return document


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(to_document(two_sockets())))
    return path


def test_a_matrix_alone_is_enough() -> None:
    path = shared_path("latency_matrices", "xeon-x5650-2s.csv")
    found = answer("--matrix", path, "--workers", 4, "--exact", "--smt", "avoid")
    assert found["mode"] == "replay"
    cpus = found["placements"][0]["cpus"]
    cores = siblings(read_matrix(path))
    assert len({core for core in cores if set(core) & set(cpus)}) == 4
    assert found["placements"][0]["expected_gain_ratio"] > 1.2


def test_a_topology_alone_gets_no_gain(topology: Path) -> None:
    found = answer("--topology", topology, "--workers", 4)
    assert found["advice"] == "leave"
    assert found["placements"][0]["expected_gain_ratio"] is None


def test_a_machine_and_its_matrix_must_belong_together(topology: Path, tmp_path: Path) -> None:
    matrix = tmp_path / "other.csv"
    matrix.write_text("cpu,100,101\n100,,5\n101,5,\n")
    with pytest.raises(UsageError, match="none of its CPUs"):
        run("--topology", topology, "--matrix", matrix, "--workers", 2)


def test_for_prints_just_the_text(topology: Path) -> None:
    text = run("--topology", topology, "--workers", 2, "--for", "taskset", "--", "echo", "a b")
    assert text.startswith("taskset --cpu-list ")
    assert text.endswith("echo 'a b'\n")
    with pytest.raises(UsageError, match="no words for 'teleport'"):
        run("--topology", topology, "--workers", 2, "--for", "teleport")
    with pytest.raises(UsageError, match="not json"):
        run("--topology", topology, "--workers", 2, "--for", "taskset", "--format", "json")


def test_text_names_mode_evidence_and_what_was_left_out(topology: Path) -> None:
    text = run("--topology", topology, "--workers", 4)
    assert "mode: replay" in text
    assert "not considered:" in text
    assert "pair latencies: absent" in text


def test_communication_file(topology: Path, tmp_path: Path) -> None:
    edges = tmp_path / "edges.csv"
    edges.write_text("source,target,weight\n0,1,5\n1,2,1\n")
    found = answer("--topology", topology, "--workers", 3, "--communication", edges)
    assert found["request"]["communication"][0] == {"source": 0, "target": 1, "weight": 5.0}


@pytest.mark.parametrize("name", ["i9-12900k", "epyc-74f3-1s", "xeon-e5-2620v2-2s", "tr-3990x", "lx2160a"])
def test_cores_are_told_from_latencies_alone(name: str) -> None:
    expected = json.loads(shared_path("latency_matrices", "expected.json").read_text())[name]["required"]
    wanted = sorted(tuple(core) for core in expected.get("core", []) if len(core) > 1)
    matrix = read_matrix(shared_path("latency_matrices", f"{name}.csv"))
    assert list(siblings(matrix)) == wanted
    shown = with_cores_shown(replay.machine_of(matrix), matrix)
    assert [core for core in shown.cores or () if len(core) > 1] == wanted
    assert shown.packages is None


# ------------------------------------------------------------------------------------- parsers


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("0,1\n1,2,3.5\n", (Edge(0, 1, 1.0), Edge(1, 2, 3.5))),
        ("\ufefffrom,to,weight\r\n0, 1, 2\r\n\r\n", (Edge(0, 1, 2.0),)),
        ("[[0, 1], [1, 2, 0.5]]", (Edge(0, 1, 1.0), Edge(1, 2, 0.5))),
        ('{"edges": [{"source": 3, "target": 1, "weight": 7}]}', (Edge(3, 1, 7.0),)),
    ],
)
def test_communication_forms(text: str, edges: tuple[Edge, ...]) -> None:
    assert parse_communication(text, name="f") == edges


@pytest.mark.parametrize("text", ["", "a,b\n", "0\n", "0,1,2,3\n", "0,1,x\n", "0,-1\n", "[1, 2]", "[", "{}", "[[true, 1]]",
                                  "[[0, 1, null]]", "0,1.5\n", "[" * 100_000])  # fmt: skip
def test_communication_refusals_have_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_communication(text, name="f")
    assert caught.value.hint


@given(st.text(max_size=200) | st.from_regex(r"[\[{]?[0-9,.eE+\-\n\]}]{0,60}"))
def test_any_text_gives_edges_or_a_refusal(text: str) -> None:
    try:
        edges = parse_communication(text, name="f")
    except UsageError:
        return
    assert edges
    assert all(isinstance(edge.source, int) and isinstance(edge.weight, float) for edge in edges)


@pytest.mark.parametrize(
    ("size", "expected"), [("1000", 1000), ("2G", 2 << 30), ("1.5KiB", 1536), ("3mb", 3 << 20)]
)
def test_sizes(size: str, expected: int) -> None:
    assert parse_size(size) == expected


@given(st.text(max_size=20))
def test_any_size_is_a_number_or_refused(size: str) -> None:
    try:
        assert parse_size(size) >= 0
    except UsageError as refusal:
        assert refusal.hint
