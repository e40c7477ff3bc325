"""How busy each CPU is, what the hypervisor takes from it, and whether tasks wait for CPUs; at the rim.

From psutil, and from the kernel's pressure stall information (Documentation/accounting/psi.rst).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import psutil

from toposcope.clock import Clock
from toposcope.topology.hostload import read_cpu_pressure
from toposcope.topology.sysfs import Root

# A CPU that was busy for more than this share of the last interval is left alone for now.
BUSY_RATIO: Final = 0.5
# Where tasks waited for a CPU in more than this share of the last 10 s, all of the machine is left alone.
# The kernel weighs CPUs by their use, so it means the same on machines of any size.
PRESSURE_RATIO_MAX: Final = 0.5
_INTERVAL_S_MIN: Final = 0.5

ReadPressure = Callable[[], float | None]


class LoadMeter:
    """Per-CPU busy ratios over the last interval; `cpus` are the online ones in ascending order."""

    def __init__(self, clock: Clock, cpus: Sequence[int], read_pressure: ReadPressure | None = None) -> None:
        """`read_pressure` tells the share of time in which some task waited for a CPU, as the kernel does."""
        root = Root("/")
        self._read_pressure = read_pressure or (lambda: read_cpu_pressure(root))
        self._clock = clock
        self._cpus = tuple(cpus)
        self._sampled_s = clock.monotonic_s()
        self._times = self._read()
        self._busy: dict[int, float] = {}
        self._pressure_ratio: float | None = None

    def set_cpus(self, cpus: Sequence[int]) -> None:
        """Other CPUs are online now."""
        self._cpus = tuple(cpus)
        self._times = self._read()
        self._busy = {}

    def busy_ratio(self, cpu: int) -> float:
        """Share of the last interval in which the CPU ran anything; 0 while not known."""
        self._sample()
        return self._busy.get(cpu, 0.0)

    @property
    def pressure_ratio(self) -> float | None:
        """Share of the last 10 s in which some task waited for a CPU; None where the kernel doesn't say."""
        self._sample()
        return self._pressure_ratio

    def is_busy(self, cpus: Sequence[int]) -> bool:
        """Whether these CPUs had better be left alone: one of them is busy, or tasks wait for CPUs."""
        pressed = self.pressure_ratio is not None and self.pressure_ratio > PRESSURE_RATIO_MAX
        return pressed or any(self.busy_ratio(cpu) > BUSY_RATIO for cpu in cpus)

    async def look(self) -> frozenset[int]:
        """The CPUs that others keep busy: waits for half a second, in which nothing of ours should run."""
        self.set_cpus(self._cpus)
        self._sampled_s = self._clock.monotonic_s()
        await asyncio.sleep(_INTERVAL_S_MIN + 0.01)
        return frozenset(cpu for cpu in self._cpus if self.busy_ratio(cpu) > BUSY_RATIO)

    def _sample(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._sampled_s >= _INTERVAL_S_MIN:
            times = self._read()
            self._busy = {each: _busy(self._times.get(each), now) for each, now in times.items()}
            self._times, self._sampled_s = times, now_s
            self._pressure_ratio = self._read_pressure()

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
