"""Runs runtime programs as the daemon does, and gives their lines as series of visits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import toposcope_probes
from toposcope.claims import Series
from toposcope.measure.visit import estimates
from toposcope.measure.wire import Line, decode
from toposcope.results import Identity, Target, Visit

RUNTIME = Path(toposcope_probes.__file__).parent / "runtime"


def usable_cpus() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


def start(
    probe: str, environment: Mapping[str, str] | None = None, **arguments: Any
) -> subprocess.Popen[bytes]:
    words = [f"{key}={value}" for key, value in arguments.items()]
    return subprocess.Popen(
        [sys.executable, str(RUNTIME / f"{probe}.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        start_new_session=True,
    )


def run(probe: str, environment: Mapping[str, str] | None = None, **arguments: Any) -> Line:
    """One line, which must be the only one, and nothing on stderr."""
    arguments = {"cpus": ",".join(map(str, usable_cpus()[:2])), **arguments}
    out, err = start(probe, environment, **arguments).communicate(timeout=60)
    assert err == b"", err.decode()
    (text,) = out.splitlines()
    json.loads(text)
    return decode(text)


def visit_of(probe: str, line: Line) -> Visit:
    spec = toposcope_probes.find(probe)
    assert spec is not None
    measures = estimates(spec, line.samples) if line.status == "ok" else {}
    return Visit(time.time(), 0.1, line.status, line.reason, measures, facts=dict(line.facts))


def alternate(
    probe: str,
    variants: list[dict[str, str]],
    visits: int = 3,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> list[Series]:
    """Visit the variants in turn, so often, as the report does."""
    seen: list[list[Visit]] = [[] for _ in variants]
    for _ in range(visits):
        for k, variant in enumerate(variants):
            seen[k].append(visit_of(probe, run(probe, environment, **variant, **arguments)))
    target = Target(usable_cpus()[:2], interpreter="python3")
    return [
        Series(Identity(probe, target, variant), found) for variant, found in zip(variants, seen, strict=True)
    ]


def planted(name: str) -> dict[str, str]:
    """The environment in which an interpreter shows an effect of tests/probes/plants."""
    return {"PYTHONPATH": str(Path(__file__).parent / "probes" / "plants" / name)}


def processes_with(mark: str) -> list[int]:
    """Whose environment holds the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
