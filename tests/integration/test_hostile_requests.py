"""What nobody should ask: files of megabytes, deep nesting, numbers beyond sense. One sentence, a hint, soon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toposcope import cli

# CPU time that tells a hang from an answer; it is a second at most on an idle machine.
_LIMIT_S = 10.0
_TEN_MB = 10_000_000

FILES = {
    "long.json": "[" + "[0,1]," * (_TEN_MB // 6) + "[0,1]]",
    "long.csv": "0,1\n" * (_TEN_MB // 4),
    "line.csv": "0" * _TEN_MB,
    "deep.json": "[" * 1_000_000,
    "nan.json": "[[0, 1, NaN]]",
    "infinite.json": "[[0, 1, 1e999]]",
    "negative.csv": "0,1,-5\n",
    "digits.json": f"[[0, {'9' * 100_000}]]",
    "binary.json": "\x00\ufffd\x00",
    "empty.json": "",
}
REQUESTS = [
    *(("--workers", "4", "--communication", name) for name in FILES),
    *(("--workers", "2", "--topology", name) for name in FILES),
    *(("--workers", "2", "--matrix", name) for name in FILES),
    ("--workers", "99999999999999999999999"),
    ("--workers", "9" * 100),
    ("--workers", "-1"),
    ("--workers", "4096"),
    ("--workers", "nan"),
    ("--workers", "2", "--memory-per-worker", "-2G"),
    ("--workers", "2", "--memory-per-worker", "9" * 15 + "T"),
    ("--workers", "2", "--memory-per-worker", "NaN"),
    ("--workers", "1", "--nodes", "77"),
    ("--workers", "1", "--nodes", "0-99999999999"),
    ("--workers", "1", "--cpus", "1,1-,,"),
    ("--workers", "1", "--cpus", "0-" + "9" * 100_000),
    ("--workers", "1", "--cpus", "0", "--avoid-cpus", "0"),
    ("--workers", "1", "--model", "fibres"),
    ("--workers", "1", "--for", "x" * 10_000),
    ("--workers", "2", "--sysroot", "nowhere"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    for name, text in FILES.items():
        (made / name).write_text(text)
    return made


@pytest.mark.parametrize("words", REQUESTS, ids=lambda words: "-".join(words)[:40].replace("/", "_"))
def test_it_is_refused_in_one_sentence_with_a_hint(
    words: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOPOSCOPE_URL", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.setattr(sys, "argv", ["toposcope", "recommend", *words])
    begin_s = time.process_time()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert time.process_time() - begin_s < _LIMIT_S
    said = capsys.readouterr()
    assert ended.value.code in (1, 2), said
    assert said.out == ""
    assert len(said.err) < 1500, said.err[:3000]
    sentence, *rest = said.err.strip().splitlines()
    # click's own refusals begin with how the command is used.
    assert sentence.startswith(("toposcope: ", "Usage: "))
    assert any(line.strip().startswith(("hint: ", "Error: ")) for line in rest), said.err


def test_the_longest_communication_that_is_weighed_takes_seconds(folder: Path) -> None:
    """The bound on edges is one that can be answered."""
    rows = [[source, target] for source in range(320) for target in range(source)][:50_000]
    (folder / "most.json").write_text(json.dumps(rows))
    (folder / "big.csv").write_text(
        "cpu," + ",".join(map(str, range(320))) + "\n"
        + "".join(f"{a}," + ",".join("" if a == b else "50" for b in range(320)) + "\n" for a in range(320))
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "toposcope", "recommend", "--workers", "320", "--communication", "most.json",
         "--matrix", "big.csv", "--format", "json"],
        cwd=folder, env=os.environ | {"TOPOSCOPE_URL": ""}, text=True, capture_output=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
