"""What fuzzers found or started from (tests/fuzz/corpus), thrown at the same targets again: seconds instead of hours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import kernel_program
from fuzz.targets import TARGETS

_CORPUS = Path(__file__).resolve().parents[1] / "fuzz" / "corpus"
_FILES = sorted(path for path in _CORPUS.glob("*/*") if path.parent.name != "arguments")
_ARGUMENTS = sorted((_CORPUS / "arguments").iterdir())


def test_every_target_has_a_corpus() -> None:
    assert {path.parent.name for path in _FILES} == set(TARGETS)
    assert _ARGUMENTS


@pytest.mark.parametrize("path", _FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_fuzzers_kept_is_taken_or_refused(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("path", _ARGUMENTS, ids=lambda path: path.name)
def test_odd_arguments_end_the_kernels_program_with_one_sentence(path: Path) -> None:
    """The first byte chooses limits in the fuzzer's harness; the rest are arguments, a line each."""
    words = [word for word in path.read_bytes()[1:].split(b"\n") if b"\0" not in word]
    program = kernel_program.build()
    done = subprocess.run([program, "cacheline_cas", *words], capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 1, 2), done
    assert done.returncode == 0 or done.stderr.count(b"\n") == 1, done
