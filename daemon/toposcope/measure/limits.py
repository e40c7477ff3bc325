"""No CPU and no memory node bears all of the measuring: a token bucket for each of them, below the budgets'.

A representative is often the first of its kind, so without this the first CPU and the first node would be
visited most. Pure: the time comes from the caller.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from toposcope.measure.budget import Budget

# Where there are others to share with, one bears at most this part of what all may bear together. A pair is
# two CPUs, so of two CPUs each bears half anyway.
_SHARE_OF_ONE: Final = 0.5
_CPUS_TO_SHARE_MIN: Final = 3
_NODES_TO_SHARE_MIN: Final = 2


class RateLimits:
    """Buckets of CPU seconds for each CPU, and of seconds of saturation for each memory node."""

    def __init__(self, cpu_credit_s: float, node_credit_s: float) -> None:
        """The credits are what each one may bear at once when it is first seen."""
        self._cpu_credit_s = cpu_credit_s
        self._node_credit_s = node_credit_s
        self._cpu_ratio = self._node_ratio = 0.0
        self._cpus: dict[int, Budget] = {}
        self._nodes: dict[int, Budget] = {}

    def set(self, *, budget_ratio: float, saturation_ratio: float, cpu_count: int, node_count: int) -> None:
        """What all may bear together, and among how many; what was spent stays spent."""
        self._cpu_ratio = budget_ratio * (_SHARE_OF_ONE if cpu_count >= _CPUS_TO_SHARE_MIN else 1.0)
        self._node_ratio = saturation_ratio * (_SHARE_OF_ONE if node_count >= _NODES_TO_SHARE_MIN else 1.0)
        for bucket in self._cpus.values():
            bucket.ratio = self._cpu_ratio
        for bucket in self._nodes.values():
            bucket.ratio = self._node_ratio

    def wait_s(self, cpus: Collection[int], saturated_nodes: Collection[int], now_s: float) -> float:
        """Seconds until all these CPUs and nodes may bear a visit; 0 where they may."""
        waits = [self._cpus[cpu].wait_s(now_s) for cpu in cpus if cpu in self._cpus]
        waits += [self._nodes[node].wait_s(now_s) for node in saturated_nodes if node in self._nodes]
        return max(waits, default=0.0)

    def charge(
        self,
        cpus: Collection[int],
        cpu_s: float,
        saturated_nodes: Collection[int],
        duration_s: float,
        now_s: float,
    ) -> None:
        """Book a visit: its CPU time over its CPUs in equal parts, its duration on each node it saturated."""
        for cpu in cpus:
            if cpu not in self._cpus:
                self._cpus[cpu] = Budget(self._cpu_ratio, now_s, self._cpu_credit_s)
            self._cpus[cpu].charge(cpu_s / len(cpus), now_s)
        for node in saturated_nodes:
            if node not in self._nodes:
                self._nodes[node] = Budget(self._node_ratio, now_s, self._node_credit_s)
            self._nodes[node].charge(duration_s, now_s)

    def forgo(self, stopped_s: float, now_s: float) -> None:
        """Earn nothing for the last `stopped_s` seconds."""
        for bucket in (*self._cpus.values(), *self._nodes.values()):
            bucket.forgo(stopped_s, now_s)
