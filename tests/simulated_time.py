"""A day in a minute: an event loop whose time is a ManualClock's, which moves when there is nothing to do but wait."""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
from collections.abc import Callable
from typing import Any

from toposcope.clock import ManualClock


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # chosen by platform
    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; else time passes, all at once."""
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout is None:
            return list(super().select(None))
        if not ready and timeout:
            self._clock.advance(timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its `time()` is the clock's; nothing may be awaited that happens outside (threads, processes, other hosts)."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(_Selector(clock))
        self._clock = clock

    def time(self) -> float:
        """The clock's monotonic seconds."""
        return self._clock.monotonic_s()


class InlineExecutor(concurrent.futures.ThreadPoolExecutor):
    """Does at once, in the caller's thread, what it is given: no thread is waited for in simulated time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """The call's outcome, which is there already."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed on, as an executor does
            future.set_exception(error)
        return future
