"""How busy each CPU is, and what the hypervisor takes from it; from psutil, at the rim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psutil

from toposcope.clock import Clock

# A CPU that was busy for more than this share of the last interval is left alone for now.
BUSY_RATIO: Final = 0.5
_INTERVAL_S_MIN: Final = 0.5


class LoadMeter:
    """Per-CPU busy ratios over the last interval; `cpus` are the online ones in ascending order."""

    def __init__(self, clock: Clock, cpus: Sequence[int]) -> None:
        self._clock = clock
        self._cpus = tuple(cpus)
        self._sampled_s = clock.monotonic_s()
        self._times = self._read()
        self._busy: dict[int, float] = {}

    def set_cpus(self, cpus: Sequence[int]) -> None:
        """Other CPUs are online now."""
        self._cpus = tuple(cpus)
        self._times = self._read()
        self._busy = {}

    def busy_ratio(self, cpu: int) -> float:
        """Share of the last interval in which the CPU ran anything; 0 while not known."""
        now_s = self._clock.monotonic_s()
        if now_s - self._sampled_s >= _INTERVAL_S_MIN:
            times = self._read()
            self._busy = {each: _busy(self._times.get(each), now) for each, now in times.items()}
            self._times, self._sampled_s = times, now_s
        return self._busy.get(cpu, 0.0)

    def steal_ms(self, cpus: Sequence[int]) -> float:
        """Milliseconds since boot for which the hypervisor ran something else instead of these CPUs."""
        times = self._read()
        return 1000 * sum(float(getattr(times[cpu], "steal", 0.0)) for cpu in cpus if cpu in times)

    def _read(self) -> dict[int, Any]:
        """psutil gives one row an online CPU, in ascending order (/proc/stat, proc(5))."""
        return dict(zip(self._cpus, psutil.cpu_times(percpu=True), strict=False))


def _busy(before: Any, after: Any) -> float:  # noqa: ANN401 - psutil's tuple has no public type
    if before is None:
        return 0.0
    # guest time is contained in user time (proc(5)).
    whole = sum(after[:8]) - sum(before[:8])
    idle = after.idle + getattr(after, "iowait", 0.0) - before.idle - getattr(before, "iowait", 0.0)
    return max(0.0, min(1.0, 1 - idle / whole)) if whole > 0 else 0.0
