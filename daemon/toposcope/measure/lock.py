"""The machine-wide measuring lock: two measurers at once would spoil each other's numbers.

An abstract unix socket (unix(7)) serves as the lock: it needs no file and no permission, works between any
two users of one network namespace, and the kernel frees it when its holder dies. Containers with a network
namespace of their own don't see it.
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


def _try_take(name: str) -> socket.socket | None:
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        taken.bind(name)
    except OSError:
        taken.close()
        return None
    return taken


@contextlib.asynccontextmanager
async def measuring_lock(on_wait: Callable[[], None] | None = None, name: str = _NAME) -> AsyncIterator[None]:
    """Hold the lock for one visit. `on_wait` is called once if somebody else holds it.

    Whoever measures has a deadline and dies with its holder, so a wait ends. Not so where somebody holds the
    lock to starve us, which any local user can: raises BusyError after WAIT_S_MAX.
    """
    taken = _try_take(name)
    if taken is None and on_wait is not None:
        on_wait()
    end_s = asyncio.get_running_loop().time() + WAIT_S_MAX
    while taken is None:
        if asyncio.get_running_loop().time() > end_s:
            raise BusyError(
                f"another process has been measuring for {WAIT_S_MAX:.0f} s",
                "`ss -xap | grep toposcope.measuring` shows which one",
            )
        await asyncio.sleep(_POLL_S)
        taken = _try_take(name)
    try:
        yield
    finally:
        taken.close()
