"""What people read in a terminal: at 80 columns, without colour, and piped."""

from __future__ import annotations

import io
import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from generators import replays
from machines import generate
from toposcope.cli import root
from toposcope.matrix import format_csv
from toposcope.render.report_text import print_report
from toposcope.render.status_text import status_text
from toposcope.render.terminal import show
from toposcope.topology.document import to_document

MACHINES = Path(generate.__file__).parent
COLOURS = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")
CLAIMS = [
    {"claim": "same_package_beats_cross_package", "verdict": verdict, "ratio": 1.234567, "interval": [1.1, 1.4],
     "numbers": {"flips": {"python3.11": {"says": ["Processes win from 0.4 ms of work a task on, threads below."] * 2}}},
     "sentence": "Threads on one package search 1.23 times as many edges a second as on two. " * 3,
     "reason": "the interval holds 1, so that more visits could still turn it either way, here and elsewhere"}
    for verdict in ("confirmed", "refuted", "inconclusive")
] + [{"claim": "gil_threads_not_parallel", "verdict": "not_applicable", "ratio": None, "interval": None, "numbers": {},
      "sentence": "Not measured here.", "reason": "not measured"}]  # fmt: skip
STATUS = {
    "source": "http://127.0.0.1:9847", "mode": "live", "placement": "unstable", "ready": True, "tasks": 412,
    "placement_evidence": {"pairs": [{"sentence": "CPU 0 and CPU 1 keep moving between 26.1 ns and 109 ns, " * 3}]},
    "measuring": "memory_bandwidth/cpus=0,1,2,3;node=0;core_set=compact:4/access=read", "results": 402,
    "busy_cpus": list(range(0, 384, 2)), "lock_waits": 3, "uptime_s": 93_000.0,
    "budget": {"cpu": {"ratio": 0.01, "spent_s": 812.3, "balance_s": -0.4},
               "saturation": {"ratio": 0.002, "spent_s": 3.25, "balance_s": 1.75}},
}  # fmt: skip


@pytest.fixture
def replay(tmp_path):
    def of(model):
        topology, matrix = tmp_path / "t.json", tmp_path / "m.csv"
        topology.write_bytes(msgspec.json.encode(to_document(replays.machine(model))))
        matrix.write_text(format_csv(replays.matrix(model)))
        return ["--topology", str(topology)], ["--matrix", str(matrix)]

    return of


def assert_plain(text: str) -> None:
    assert text
    for line in text.splitlines():
        if not line.startswith("source: "):  # a path may be as long as it likes
            assert len(line) <= 80, line
        assert line == line.rstrip(), repr(line)
    assert "\x1b" not in text


def piped(*arguments: str) -> str:
    answer = CliRunner().invoke(root, arguments)
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.mark.parametrize("model", [replays.TWO_SOCKETS, replays.BIG_384], ids=lambda model: model.name)
def test_replayed_machines_are_plain_when_piped(replay, model):
    topology, matrix = replay(model)
    for arguments in (["topology", *topology], ["matrix", *topology, *matrix], ["report", *topology]):
        assert_plain(piped(*arguments))


@pytest.mark.parametrize("name", sorted(generate.MACHINES))
def test_captured_machines_are_plain_when_piped(name):
    assert_plain(piped("topology", "--sysroot", str(MACHINES / name / "root")))


def test_a_large_matrix_keeps_its_domains_apart(replay):
    topology, matrix = replay(replays.BIG_384)
    lines = piped("matrix", *topology, *matrix).splitlines()
    assert "CPUs in topology order, 8 to a character (their median); · not measured" in lines
    shades = lines[0].split(" ", 6)[-1].lstrip(" 0")
    assert len(set(lines[0][7:9])) == 1  # an L3 domain of 16 CPUs is two characters wide
    assert lines[0][8] != lines[0][9]
    assert len(shades) == 384 // 8


def reported(console: Console) -> str:
    print_report(CLAIMS, console)
    return console.file.getvalue()


def test_the_report_is_plain_when_piped():
    text = reported(Console(file=io.StringIO(), width=80))
    assert_plain(text)
    assert "×1.23 (1.1 – 1.4)" in text


def test_the_status_is_plain_when_piped():
    console = Console(file=io.StringIO(), width=80)
    show(status_text(STATUS), console=console)
    text = console.file.getvalue()
    assert_plain(text)
    assert "cpu budget" in text
    assert "0.40 s in debt" in text
    assert "25.8 h" in text


def test_a_status_without_most_of_it():
    console = Console(file=io.StringIO(), width=80)
    show(
        status_text({"source": "x", "mode": "replay", "placement": "unknown", "ready": True}), console=console
    )
    assert "measuring  nothing just now" in console.file.getvalue()


@pytest.mark.parametrize("no_colour", [True, False])
def test_terminals_have_colours_unless_told_not_to(no_colour, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    assert bool(COLOURS.search(reported(console))) != no_colour
