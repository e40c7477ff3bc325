"""ARCHITECTURE.md's invariants, as far as the source shows them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[2]
_DAEMON = _PROJECT / "daemon" / "toposcope"
_PROBES = _PROJECT / "probes" / "toposcope_probes"

_PURE_FILES = (
    "audit.py", "claims.py", "claims_core_sets.py", "claims_flips.py", "claims_pairs.py",
    "claims_table.py", "claims_wanted.py", "compare.py", "doctor.py",
    "evidence.py", "explain.py", "groups.py", "judgements.py", "placement.py", "results.py", "units.py", "view.py",
    "topology/agreement.py", "topology/cpulist.py", "topology/cross_check.py", "topology/disjoint.py",
    "topology/document.py", "topology/fingerprint.py", "topology/model.py", "fleet/compare.py", "fleet/rank.py",
)  # fmt: skip
# What renders history and reports may format a time that it was given (datetime); nobody here reads a clock.
_PURE_FOLDERS = ("measure", "advise", "topology/infer", "render")
_PURE = [
    *(path for folder in _PURE_FOLDERS for path in sorted((_DAEMON / folder).rglob("*.py"))),
    *(_DAEMON / name for name in _PURE_FILES),
]
_RIM_IN_MEASURE = {"runner.py", "visit.py", "lock.py", "load.py", "loop.py", "session.py"}
_IMPURE_MODULES = {"os", "io", "time", "datetime", "logging", "socket", "subprocess", "sqlite3", "psutil", "asyncio",
                   "pathlib", "threading", "urllib", "shutil", "tempfile", "ctypes", "numpy", "scipy"}  # fmt: skip


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def _sources(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def _name(path: Path) -> str:
    return str(path.relative_to(_PROJECT))


@pytest.mark.parametrize("path", _sources(_PROBES), ids=_name)
def test_probes_import_only_the_standard_library_and_each_other(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"toposcope_probes"}
    optional = {"gevent", "greenlet", "tornado", "uvloop"} if "runtime" in path.parts else set()
    # Runtime programs are run as files and find their helper beside them.
    siblings = {each.stem for each in path.parent.glob("*.py")} if "runtime" in path.parts else set()
    foreign = {name.split(".")[0] for name in _imports(path)} - allowed - optional - siblings
    assert not foreign


@pytest.mark.parametrize(
    "path",
    [p for p in _PURE if not (p.parent.name == "measure" and p.name in _RIM_IN_MEASURE)],
    ids=_name,
)
def test_pure_modules_do_no_input_or_output_and_read_no_clock(path: Path) -> None:
    forbidden = _IMPURE_MODULES - ({"datetime"} if path.parent.name == "render" else set())
    assert not {name.split(".")[0] for name in _imports(path)} & forbidden
    assert "datetime.now" not in path.read_text()
    calls = [node.func.id for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]  # fmt: skip
    assert not {"open", "print", "input"} & set(calls)


@pytest.mark.parametrize("path", _sources(_DAEMON), ids=_name)
def test_only_the_sysfs_module_names_paths_below_sys_and_proc(path: Path) -> None:
    if path.name == "sysfs.py":
        return
    texts = [node.value for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
    assert not [text for text in texts if text.startswith(("/sys/", "/proc/")) and " " not in text]


@pytest.mark.parametrize("path", _sources(_DAEMON), ids=_name)
def test_only_the_runner_creates_processes(path: Path) -> None:
    if _name(path) in ("daemon/toposcope/measure/runner.py",):
        return
    source = path.read_text()
    for call in (
        "subprocess",
        "posix_spawn",
        "os.fork",
        "os.system",
        "os.popen",
        "create_subprocess",
        "multiprocessing",
    ):
        assert call not in source.replace("multiprocessing Queue", ""), call


def test_nothing_but_the_command_line_imports_the_service() -> None:
    importers = [_name(path) for path in _sources(_DAEMON) if "toposcope.service" in set(_imports(path))]
    assert [path for path in importers if "/cli/" not in path] == []


@pytest.mark.parametrize(
    "path", [*_sources(_DAEMON), *_sources(_PROBES), *sorted(_PROBES.rglob("*.[ch]"))], ids=_name
)
def test_files_and_functions_stay_readable(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 500
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 70, node.name


def test_the_roots_are_no_packages() -> None:
    # `import daemon` belongs to python-daemon.
    assert not (_PROJECT / "daemon" / "__init__.py").exists()
    assert not (_PROJECT / "probes" / "__init__.py").exists()
