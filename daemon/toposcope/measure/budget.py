"""How much measuring may cost: a token bucket of CPU seconds, and one of seconds of saturation.

Pure: the time comes from the caller. Debt is allowed (a visit's cost is known only afterwards) and paid
back by waiting, so that the average over any long time stays within the ratio.
"""

from __future__ import annotations

from typing import Final

# Unused budget is kept for at most this long: an idle night doesn't buy a busy morning.
_CREDIT_S: Final = 60.0


class Budget:
    """`ratio` seconds of cost may be spent in every second; `now_s` is any monotonic clock."""

    def __init__(self, ratio: float, now_s: float, initial_s: float = 0.0) -> None:
        assert ratio >= 0
        self.ratio = ratio
        self.spent_s = 0.0
        self._tokens_s = initial_s
        self._updated_s = now_s

    def charge(self, cost_s: float, now_s: float) -> None:
        """Book a cost that has been caused; the balance may become negative."""
        self._refill(now_s)
        self._tokens_s -= cost_s
        self.spent_s += cost_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until the balance is positive again; 0 where it is, infinite for a ratio of 0."""
        self._refill(now_s)
        if self._tokens_s > 0:
            return 0.0
        return (-self._tokens_s / self.ratio + 1e-3) if self.ratio > 0 else float("inf")

    def balance_s(self, now_s: float) -> float:
        """Seconds of cost that may be caused at once; negative while in debt."""
        self._refill(now_s)
        return self._tokens_s

    def forgo(self, stopped_s: float, now_s: float) -> None:
        """Earn nothing for the last `stopped_s` seconds: who was stopped could not have spent it."""
        self._updated_s = min(now_s, self._updated_s + stopped_s)

    def _refill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._updated_s)
        self._updated_s = now_s
        cap_s = max(self._tokens_s, self.ratio * _CREDIT_S)
        self._tokens_s = min(cap_s, self._tokens_s + passed_s * self.ratio)
