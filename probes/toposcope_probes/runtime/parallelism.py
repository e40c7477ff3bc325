"""How many of some workers run at once: by what the kernel accounts to each of them, not by their speed.

A worker that waits for a lock (the GIL) sleeps; one that may run either runs or waits for a CPU. So the share
of a time for which a worker ran or waited for nothing but a CPU, added up over all workers, is the number
that were under way at once on average: 1 where they take turns, N where nothing holds them up. Unlike a
speed-up it doesn't change with how fast the CPUs are while shared: not where a hypervisor puts two CPUs of a
guest on the siblings of one core (which halves the speed of each), and not with others' load. A worker that
waits busily for another counts as under way: only a speed-up tells that one.

CPU time is the thread's own clock (clock_gettime(2), CLOCK_THREAD_CPUTIME_ID), waiting for a CPU the second
field of /proc/thread-self/schedstat (Documentation/scheduler/sched-stats.rst; 0 without CONFIG_SCHED_INFO).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from toposcope_probes.runtime import harness

    Work = Callable[[], None]
else:  # run as a file: the neighbour in its own folder
    import harness

# Several switch intervals of the GIL (5 ms), so that those who take turns all get theirs.
_WINDOW_NS = 25_000_000
_WINDOWS_MIN, _WINDOWS_MAX = 5, 12
# Where workers take turns, a window lasts until all had one: fewer windows for many workers.
_TURNS_MAX = 96


class Windows:
    """Some spans of time in which all workers work; shared by them, whether threads or processes."""

    def __init__(self, count: int) -> None:
        from multiprocessing.sharedctypes import RawArray

        self.count = count
        self.windows = max(_WINDOWS_MIN, min(_WINDOWS_MAX, _TURNS_MAX // count))
        self._arrived = RawArray("Q", count)
        self._left = RawArray("Q", count)
        self._shares = RawArray("d", count * self.windows)

    def run(self, index: int, work: Work) -> None:
        """All windows of one worker; `work` is done again and again, and should take some 0.1 ms.

        A window begins for a worker when it sees that all are at work, and ends when time is up or the first
        has left: until then none sleeps of its own accord.
        """
        for turn in range(self.windows):
            self._arrived[index] = turn + 1
            while min(self._arrived) <= turn:
                work()
            begin_ns, wanted_ns = time.perf_counter_ns(), wanted_time_ns()
            while max(self._left) <= turn and time.perf_counter_ns() - begin_ns < _WINDOW_NS:
                work()
            wanted_ns = wanted_time_ns() - wanted_ns
            self._shares[turn * self.count + index] = wanted_ns / (time.perf_counter_ns() - begin_ns)
            self._left[index] = turn + 1

    def ratios(self) -> list[float]:
        """How many workers were under way at once, on average; one a window."""
        return [
            sum(self._shares[turn * self.count : (turn + 1) * self.count]) for turn in range(self.windows)
        ]


class Tasks:
    """The same for workers that can't wait for each other, since they share a thread: one task each."""

    def __init__(self, count: int) -> None:
        from multiprocessing.sharedctypes import RawArray

        self._begins = RawArray("d", count)
        self._ends = RawArray("d", count)
        self._wanted = RawArray("d", count)

    def run(self, index: int, work: Work) -> None:
        """What one worker does."""
        wanted_ns = wanted_time_ns()
        self._begins[index] = time.perf_counter_ns()
        work()
        self._ends[index] = time.perf_counter_ns()
        self._wanted[index] = wanted_time_ns() - wanted_ns

    def ratio(self) -> float:
        """How many were under way at once, on average from the first one's begin to the last one's end."""
        wanted_ns, span_ns = sum(self._wanted), max(self._ends) - min(self._begins)
        return float(wanted_ns / span_ns)


def wanted_time_ns() -> int:
    """For how long the calling thread ran or waited for nothing but a CPU, since it began."""
    return time.thread_time_ns() + harness.run_delay_ns()
