"""Builds `toposcope-kernels` from the sources beside the tests, and runs it.

Each flavour (plain, sanitized, another architecture) is a CMake build folder below build/, so only what
changed is built again.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import toposcope_probes
from toposcope_probes.contract import ProbeSpec, Program, TargetKind

ROOT = Path(__file__).resolve().parents[1]
PROBES = ROOT / "probes" / "toposcope_probes"


@functools.cache
def build(flavour: str = "kernels", *options: str, source: Path = ROOT) -> Path:
    """The program in one flavour; skips where a tool that builds it is absent."""
    for tool in ("cmake", "ninja", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = source / "build" / flavour
    for command in (
        ["cmake", "-S", str(source), "-B", str(folder), "-G", "Ninja", *options],
        ["cmake", "--build", str(folder)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "toposcope-kernels"


def run(*words: str, program: Sequence[str | Path] = ()) -> subprocess.CompletedProcess[str]:
    """`toposcope-kernels` with these words, to its end."""
    return subprocess.run(
        [*map(str, program or (build(),)), *words], capture_output=True, text=True, check=False, timeout=60
    )


def measure(kernel: str, *words: str, program: Sequence[str | Path] = ()) -> list[dict[str, Any]]:
    """The lines of a kernel that ends well and complains of nothing."""
    done = run(kernel, *words, program=program)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure_once(kernel: str, *words: str, program: Sequence[str | Path] = ()) -> dict[str, Any]:
    """The one line of a kernel, not failed; tried again where a busy machine kept the ends from their CPUs."""
    for _ in range(5):
        (line,) = measure(kernel, *words, program=program)
        if line["status"] != "failed":
            return line
    raise AssertionError(line["reason"])


def measure_ok(kernel: str, *words: str) -> dict[str, Any]:
    """The one line of a kernel that could measure."""
    line = measure_once(kernel, *words)
    assert line["status"] == "ok", line["reason"]
    return line


def latency_ns(line: dict[str, Any]) -> float:
    """The estimate of a cache-line visit: median over its lines of each line's lowest decile."""
    groups = [sorted(group) for group in line["samples"]["latency_ns"] if group]
    return statistics.median(group[(len(group) - 1) // 10] for group in groups)


def two_cpus() -> tuple[int, int]:
    """Two CPUs this process may use; skips where there is only one."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    return cpus[0], cpus[1]


def specs() -> list[ProbeSpec]:
    """The specs of all probes, found as everybody finds them: modules of the package that have one."""
    modules = [
        importlib.import_module(f"toposcope_probes.{module.name}")
        for module in pkgutil.iter_modules(toposcope_probes.__path__)
        if not module.ispkg
    ]
    return [module.SPEC for module in modules if hasattr(module, "SPEC")]


def kernel_specs() -> list[ProbeSpec]:
    """Those of the probes that `toposcope-kernels` carries out."""
    return [spec for spec in specs() if spec.program is Program.KERNEL]


def words_for(spec: ProbeSpec) -> list[str]:
    """The smallest target of the probe's kind on this machine, as the planner would name it."""
    cpus = sorted(os.sched_getaffinity(0))
    count = 1 if spec.target in {TargetKind.CPU, TargetKind.CPU_NODE} else 2
    words = ["cpus=" + ",".join(map(str, cpus[:count]))]
    if spec.target in {TargetKind.CPU_NODE, TargetKind.CORE_SET_NODE}:
        words.append("node=0")
    return [*words, *(f"{key}={value}" for key, value in spec.arguments.items())]
