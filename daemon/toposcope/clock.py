"""Time, as something that can be handed over: the real clocks, and one that tests move by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the rim of the program needs to know about time; pure code gets times as arguments."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps back (CLOCK_MONOTONIC); its zero means nothing."""

    def wall_s(self) -> float:
        """Seconds since the Unix epoch; may step either way when the host's clock is set."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def wall_s(self) -> float:
        """CLOCK_REALTIME in seconds."""
        return time.time()


class ManualClock:
    """Both clocks standing still until `advance` moves them; `step_wall` only moves the wall clock."""

    def __init__(self, monotonic_s: float = 1000.0, wall_s: float = 1_800_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s

    def monotonic_s(self) -> float:
        """Seconds, as set."""
        return self._monotonic_s

    def wall_s(self) -> float:
        """Seconds, as set."""
        return self._wall_s

    def advance(self, duration_s: float) -> None:
        """Let `duration_s` pass on both clocks."""
        assert duration_s >= 0
        self._monotonic_s += duration_s
        self._wall_s += duration_s

    def step_wall(self, offset_s: float) -> None:
        """Set the wall clock forwards or backwards, as an administrator or NTP may."""
        self._wall_s += offset_s
