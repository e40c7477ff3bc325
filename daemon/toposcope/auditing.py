"""The audit's look at the machine's processes: the busiest ones, briefly, and never by more than its limits.

Off unless `audit.enabled`, for it has to see other users' processes, which the hardened unit must not; the
drop-in systemd/drop-ins/audit.conf lets it, and says what that costs.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import psutil

from toposcope import audit
from toposcope.audit import Finding, Usage
from toposcope.clock import Clock
from toposcope.topology.model import Machine
from toposcope.topology.processes import Process, read_memory_bytes_by_node, read_process
from toposcope.topology.sysfs import Root

_T = TypeVar("_T")
InWorker = Callable[[Callable[[], _T]], Any]

# How long the chosen processes are watched, and how often they are looked at meanwhile.
WATCH_S: Final = 0.4
_SNAPSHOTS: Final = 3
# numa_maps walks all page tables: larger processes (200 ms at most) are left out, and that is said.
_RESIDENT_BYTES_MAX: Final = 64 << 30
_FINDINGS_MAX: Final = 100
_PROCESSES_SEEN_MAX: Final = 50_000


class Auditor:
    """Looks now and then; what has been using the CPUs since the last look is looked at closely."""

    def __init__(self, root: Root, clock: Clock, processes_max: int) -> None:
        self._root = root
        self._clock = clock
        self._processes_max = processes_max
        self._cpu_s: dict[tuple[int, float], float] = {}

    async def look(self, machine: Machine, in_worker: InWorker[Any]) -> dict[str, Any]:
        """One audit as the document of `/api/v1/audit`; what blocks runs in the worker."""
        pids, seen = await in_worker(self._busiest)
        snapshots: list[list[Process | None]] = []
        times_s = []
        for index in range(_SNAPSHOTS):
            if index:
                await asyncio.sleep(WATCH_S / (_SNAPSHOTS - 1))
            times_s.append(self._clock.monotonic_s())
            snapshots.append(await in_worker(lambda: [read_process(self._root, pid) for pid in pids]))
        watched_s = times_s[-1] - times_s[0]
        usages, unseen = await in_worker(lambda: self._usages(snapshots, watched_s, machine))
        findings = [finding for usage in usages for finding in audit.judge(usage, machine)]
        return self._document(findings, len(usages), seen, unseen)

    def _busiest(self) -> tuple[list[int], int]:
        """The processes that used most CPU time since the last look (or ever), without our own."""
        now: dict[tuple[int, float], float] = {}
        ours = set()
        for process in itertools.islice(psutil.process_iter(), _PROCESSES_SEEN_MAX):
            try:
                with process.oneshot():
                    times, key = process.cpu_times(), (process.pid, process.create_time())
                    is_ours = os.getpid() in (process.pid, process.ppid())
            except psutil.Error:
                continue  # it ended, or it is hidden from us
            now[key] = times.user + times.system
            if is_ours:
                ours.add(key)
        used = {key: cpu_s - self._cpu_s.get(key, 0.0) for key, cpu_s in now.items() if key not in ours}
        self._cpu_s = now
        busiest = sorted((key for key in used if used[key] > 0), key=lambda key: -used[key])
        return [pid for pid, _ in busiest[: self._processes_max]], len(now)

    def _usages(
        self, snapshots: Sequence[Sequence[Process | None]], watched_s: float, machine: Machine
    ) -> tuple[list[Usage], list[str]]:
        usages, unseen = [], []
        several_nodes = sum(node.memory_bytes != 0 for node in machine.numa_nodes) > 1
        for shots in zip(*snapshots, strict=True):
            alive = [shot for shot in shots if shot is not None]
            if len(alive) < _SNAPSHOTS:
                continue  # it ended meanwhile
            usage = audit.usage_of(alive, watched_s)
            if usage.busy_threads and several_nodes:
                usage, why = self._with_memory(usage, alive[-1])
                unseen += [f"{usage.name} ({usage.pid}): {why}"] if why else []
            usages.append(usage)
        return usages, unseen

    def _with_memory(self, usage: Usage, process: Process) -> tuple[Usage, str]:
        if (process.resident_bytes or 0) > _RESIDENT_BYTES_MAX:
            return usage, "memory per node: too large to be looked at in passing"
        memory = read_memory_bytes_by_node(self._root, usage.pid)
        if isinstance(memory, str):
            return usage, memory
        return Usage(usage.pid, usage.name, usage.busy_threads, usage.seen_on, memory), ""

    def _document(
        self, findings: Sequence[Finding], looked_at: int, seen: int, unseen: Sequence[str]
    ) -> dict[str, Any]:
        return {
            "enabled": True,
            "time_s": self._clock.wall_s(),
            "processes_seen": seen,
            "processes_looked_at": looked_at,
            "counts": {check: sum(each.check == check for each in findings) for check in audit.CHECKS},
            "findings": [msgspec.to_builtins(each) for each in findings[:_FINDINGS_MAX]],
            "unseen": list(unseen),
        }
