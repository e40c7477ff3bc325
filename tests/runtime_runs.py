"""Runs runtime programs as the daemon does, and gives their lines as series of visits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
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
    probe: str,
    environment: Mapping[str, str] | None = None,
    interpreter: str = sys.executable,
    **arguments: Any,
) -> subprocess.Popen[bytes]:
    words = [f"{key}={value}" for key, value in arguments.items()]
    return subprocess.Popen(
        [interpreter, str(RUNTIME / f"{probe}.py"), *words],
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
    target = Target(usable_cpus()[:2], interpreter=str(arguments.get("interpreter", "python3")))
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


def ports_of(session_id: int) -> set[tuple[str, str]]:
    """The TCP sockets (local end, remote end) of all processes of a session; a listening one has no remote."""
    sockets: set[str] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # proc(5): state, ppid, pgrp and session follow the name, which may hold anything in brackets.
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session_id:
                sockets |= {str(link.readlink()) for link in (entry / "fd").iterdir()}
        except OSError:
            continue  # it ended meanwhile
    return {ends for ends, inode in _tcp_sockets() if f"socket:[{inode}]" in sockets}


def ports_in_use() -> set[tuple[str, str]]:
    """The ends of every TCP socket of the machine, whoever has it: in TIME_WAIT nobody does."""
    return {ends for ends, _ in _tcp_sockets()}


def _tcp_sockets() -> list[tuple[tuple[str, str], str]]:
    """/proc/net/tcp, proc(5): local and remote address are columns 1 and 2, the inode is column 9."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [((row[1], row[2]), row[9]) for row in rows]


class PortWatch:
    """Notes every few milliseconds which TCP sockets a program and its workers have, until `stop`."""

    def __init__(self, session_id: int) -> None:
        self.seen: set[tuple[str, str]] = set()
        self._session_id = session_id
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.03):
            self.seen |= ports_of(self._session_id)

    def stop(self) -> set[tuple[str, str]]:
        """All that was seen."""
        self._ended.set()
        self._thread.join()
        return self.seen
