"""What the fuzzers throw bytes at: each target takes any bytes, and raises only where something is wrong.

A target turns the errors that it may meet into nothing and checks what has to hold of the rest, so that a fuzzer, a
replay of old finds and a test of fresh bytes all mean the same. The kernels' argument parser is C and stands in
arguments_fuzzer.c.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import functools
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from unittest import mock

import msgspec

from machines.invariants import check_everything, check_invariants
from toposcope import choices, config, matrix, metrics, serving, webconfig
from toposcope.clock import ManualClock
from toposcope.errors import ConfigError, MatrixError, TopologyError, ToposcopeError
from toposcope.measure import runner
from toposcope.measure import visit as visiting
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.measure.visit import Surveyed
from toposcope.results import Identity, Target, Visit
from toposcope.topology.discover import discover
from toposcope.topology.document import from_document, to_document
from toposcope.topology.infer import infer
from toposcope.topology.sysfs import Root
from toposcope.view import View
from toposcope_probes import find

MACHINES: Final = Path(__file__).resolve().parents[1] / "machines"
# Inference costs time with the cube of the CPUs; what is wrong with it shows in small matrices.
_INFERRED_CPUS_MAX: Final = 24


def _is_one_sentence(error: ToposcopeError) -> None:
    assert error.message
    assert "\n" not in error.message, error.message


def config_yaml(data: bytes) -> None:
    """A configuration or one error; a good one can be put to use as far as no file is concerned."""
    try:
        settings = config.parse(data, "config.yaml")
        serving.allowed_hosts(settings.web)
        choices.probe_choices(settings)
    except ConfigError as error:
        _is_one_sentence(error)


def web_config(data: bytes) -> None:
    """A web configuration or one error, which repeats no hash."""
    try:
        webconfig.parse(data, Path("web.yml"))
    except ConfigError as error:
        _is_one_sentence(error)
        assert "$2y$" not in error.message


def matrix_csv(data: bytes) -> None:
    """A matrix or one error; what is written of it is read again; inference has an answer."""
    try:
        found = matrix.parse_csv(data.decode("utf-8", "replace"), name="matrix.csv")
    except MatrixError as error:
        _is_one_sentence(error)
        return
    again = matrix.parse_csv(matrix.format_csv(found), name="again")
    assert again.cpus == found.cpus
    for row, row_again in zip(found.cells, again.cells, strict=True):
        for cell, cell_again in zip(row, row_again, strict=True):
            assert (cell is None) == (cell_again is None)
            assert (
                cell is None
                or cell_again is None
                or math.isclose(cell, cell_again, rel_tol=1e-4, abs_tol=0.006)
            )
    if len(found.cpus) <= _INFERRED_CPUS_MAX:
        inference = infer(found)
        assert inference.verdict in ("structured", "flat", "continuum", "unusable")
        assert 0 <= inference.confidence <= 1


def topology_json(data: bytes) -> None:
    """A machine of a JSON document or one error; its own document gives the same machine."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        machine = from_document(document)
    except TopologyError as error:
        _is_one_sentence(error)
        return
    check_invariants(machine)
    assert from_document(json.loads(json.dumps(to_document(machine)))) == machine


@functools.cache
def _machine_root(number: int) -> tuple[Path, tuple[Path, ...]]:
    """A copy of one of the small machines that the fuzzer may damage, and its files."""
    originals = sorted(path.parent / "root" for path in MACHINES.glob("*/expected.json"))
    small = sorted(originals, key=lambda root: sum(1 for _ in root.rglob("*")))[:8]
    folder = Path(tempfile.mkdtemp(prefix="toposcope-fuzz."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = folder / "root"
    shutil.copytree(small[number % len(small)], root, symlinks=True)
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return root, tuple(files)


@contextlib.contextmanager
def _damaged(data: bytes) -> Iterator[Path]:
    """A machine of which files say something else: [machine] then edits of [file, file, length, content]."""
    root, files = _machine_root(data[0] % 8 if data else 0)
    before: dict[Path, bytes] = {}
    rest = data[1:]
    while len(rest) > 3:
        path = files[int.from_bytes(rest[:2], "big") % len(files)]
        before.setdefault(path, path.read_bytes())
        path.write_bytes(rest[3 : 3 + rest[2]])
        rest = rest[3 + rest[2] :]
    try:
        yield root
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def _check_document(root: Path) -> None:
    machine = discover(Root(root))
    check_invariants(machine)
    document = json.loads(json.dumps(to_document(machine)))
    assert from_document(document) == dataclasses.replace(machine, is_this_system=False)


def topology_tree(data: bytes) -> None:
    """A machine or one error, whatever its files say; JSON and, of every eighth, text and picture can be made of it."""
    check = check_everything if len(data) % 8 == 0 else _check_document
    with _damaged(data) as root:
        try:
            check(root)
        except TopologyError as error:
            _is_one_sentence(error)


def _pair_task(first: int, second: int) -> Task:
    spec = find("cacheline_cas")
    assert spec is not None
    identity = Identity(spec.name, Target((first, second)), {"model": "thread"}, "core")
    return Task(ProbeChoice(spec, 300.0, 3600.0), identity, 0)


@functools.cache
def _two_cpu_view() -> View:
    machine = discover(Root(MACHINES / "vcpu-packages-cgroup2" / "root"))
    return View(machine, "fuzzed")


def _surveyed(tasks: Sequence[Task], lines: Sequence[bytes]) -> list[Surveyed]:
    """What a visit makes of a program that prints these lines, without the program and the lock."""

    async def printed(*_: object, on_line: Callable[[bytes], None], **__: object) -> runner.Outcome:
        for line in lines:
            on_line(line)
        return runner.Outcome(0, False, False, 0.01, 0.01, "")

    visitor = visiting.Visitor(ManualClock(), steal_ms=lambda _: 0.0)
    with (
        mock.patch.object(runner, "run", printed),
        mock.patch.object(runner, "kernels_path", Path),
        mock.patch.object(visiting, "measuring_lock", return_value=contextlib.nullcontext()),
    ):
        return asyncio.run(visitor.visit_together(tasks))


def kernel_lines(data: bytes) -> None:
    """What a kernel printed: judged visits that the store can keep and read again, and that can be served."""
    tasks = [_pair_task(0, 1), _pair_task(0, 2)]
    view = _two_cpu_view()
    view.forget_results()
    # A program that breaks off leaves targets unvisited: fewer visits than tasks.
    for task, surveyed in zip(tasks, _surveyed(tasks, data.split(b"\n")), strict=False):
        visit = surveyed.visit
        assert msgspec.json.decode(msgspec.json.encode(visit), type=Visit) == visit
        view.load(task.identity, "latency_ns", [visit] * 3)
    text = asyncio.run(metrics.Rendered(view).get(as_openmetrics=False, gzipped=False))
    assert b"toposcope_result_verdict" in text


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (config_yaml, web_config, matrix_csv, topology_json, topology_tree, kernel_lines)
}
