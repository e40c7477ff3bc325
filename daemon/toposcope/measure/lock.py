"""The machine-wide measuring lock: two measurers at once would spoil each other's numbers.

An abstract unix socket (unix(7)) serves as the lock: it needs no file and no permission, works between any
two users of one network namespace, and the kernel frees it when its holder dies. Containers with a network
namespace of their own don't see it.

Any user may measure, so any may hold the lock, also for good. A file would not change that: whoever can open
it to take turns can keep it (flock(2) asks for no right to write). So the daemon has `Patience`: it takes
turns, but what it may wait is limited, and then it measures beside whoever holds the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final

from toposcope.errors import BusyError

_NAME: Final = "\0toposcope.measuring"
_POLL_S: Final = 0.005
# Longer than any visit, also of many targets at once, is meant to take.
WAIT_S_MAX: Final = 900.0
WHO_HOLDS_IT: Final = "`ss -xap | grep toposcope.measuring`"
# Share of the time that a daemon waits for others in the long run.
_PATIENCE_RATIO: Final = 0.1


class Patience:
    """How long a daemon waits for others: WAIT_S_MAX in one go, a tenth of the time in the long run.

    Who holds the lock for good, or frees it just before the others' patience ends, slows measuring down by no
    more than that. `is_out` from the moment that a wait was given up until one succeeds.
    """

    def __init__(self) -> None:
        self.is_out = False
        self._left_s = WAIT_S_MAX
        self._updated_s: float | None = None

    def left_s(self, now_s: float) -> float:
        """Seconds that may be waited from now on."""
        passed_s = 0.0 if self._updated_s is None else max(0.0, now_s - self._updated_s)
        self._left_s = min(WAIT_S_MAX, self._left_s + passed_s * _PATIENCE_RATIO)
        self._updated_s = now_s
        return self._left_s

    def spend(self, waited_s: float, *, in_vain: bool) -> None:
        """Book a wait that has just ended."""
        self._left_s = max(0.0, self._left_s - waited_s)
        self.is_out = in_vain


def _try_take(name: str) -> socket.socket | None:
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        taken.bind(name)
    except OSError:
        taken.close()
        return None
    return taken


@contextlib.asynccontextmanager
async def measuring_lock(
    on_wait: Callable[[], None] | None = None, name: str = _NAME, patience: Patience | None = None
) -> AsyncIterator[None]:
    """Hold the lock for one visit. `on_wait` is called once if somebody else holds it.

    Whoever measures has a deadline and dies with its holder, so a wait ends. Not so where somebody holds the
    lock to starve us: raises BusyError after WAIT_S_MAX, or, with `patience`, goes on without the lock once
    that has run out.
    """
    taken = _try_take(name)
    if taken is None:
        if on_wait is not None:
            on_wait()
        taken = await _wait_for(name, patience)
    elif patience is not None:
        patience.spend(0.0, in_vain=False)
    try:
        yield
    finally:
        if taken is not None:
            taken.close()


async def _wait_for(name: str, patience: Patience | None) -> socket.socket | None:
    """The lock once it is free; None where patience has run out before."""
    now_s = asyncio.get_running_loop().time
    begin_s = now_s()
    end_s = begin_s + (WAIT_S_MAX if patience is None else patience.left_s(begin_s))
    taken = None
    while taken is None and now_s() < end_s:
        await asyncio.sleep(_POLL_S)
        taken = _try_take(name)
    if patience is not None:
        patience.left_s(now_s())
        patience.spend(now_s() - begin_s, in_vain=taken is None)
    elif taken is None:
        raise BusyError(
            f"another process has been measuring for {WAIT_S_MAX:.0f} s", f"{WHO_HOLDS_IT} shows which one"
        )
    return taken
