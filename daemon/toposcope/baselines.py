"""The drift baselines over restarts, and their end when the machine itself changed.

What the watch knows is kept in the store once an hour, and at the end. After a start it goes on from there:
visits that were stored since are replayed, so even a crash loses nothing. Topology, kernel, microcode or
governor that changed make a new baseline, with an event that says what changed; no drift is told across it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from toposcope.clock import Clock
from toposcope.errors import StoreError
from toposcope.judge import Judge
from toposcope.measure.watch import WatchMemory
from toposcope.store import Store
from toposcope.view import View

_log = logging.getLogger(__name__)

# Without anything kept, baselines are learnt from at most so much of the past.
_LEARNT_FROM_S: Final = 14 * 86_400.0
_NOTE: Final = "drift_baseline"
_SETTINGS: Final = ("kernel", "microcode", "frequency_governor", "turbo", "hypervisor")

InWorker = Callable[[Callable[[], Any]], Awaitable[Any]]


class _Kept(msgspec.Struct, frozen=True):
    """Under what the baselines were learnt, since when, and what is known of them."""

    context: dict[str, str | None]
    since_s: float
    watch: WatchMemory | None = None


class Baselines:
    """Keeps the judge's watch in the store. All blocking work goes through `in_worker`."""

    def __init__(
        self,
        store: Store,
        view: View,
        judge: Judge,
        clock: Clock,
        in_worker: InWorker,
        on_event: Callable[[str, dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._store = store
        self._view = view
        self._judge = judge
        self._clock = clock
        self._in_worker = in_worker
        self._on_event = on_event
        self._context: dict[str, str | None] = {}
        self._since_s = 0.0

    async def restart(self) -> None:
        """Go on from what was kept, or learn anew where the machine is another one than it was then."""
        self._context = _context(self._view)
        kept = await self._kept()
        if kept is None or kept.context != self._context:
            self._since_s = self._clock.wall_s()
            self._judge.restart(None, ())
            await self.keep()
            if kept is not None:
                changed = {name: [kept.context.get(name), value] for name, value in self._context.items()
                           if kept.context.get(name) != value}  # fmt: skip
                await self._on_event("baseline_reset", {"changed": changed})
            return
        self._since_s = kept.since_s
        memory, fingerprint = kept.watch, self._view.fingerprint
        if memory is not None and memory.seen_s:
            from_s = math.nextafter(memory.seen_s, math.inf)
        else:
            from_s = max(kept.since_s, self._clock.wall_s() - _LEARNT_FROM_S)
        await self._in_worker(
            lambda: self._judge.restart(memory, self._store.visits_since(fingerprint, from_s))
        )

    async def check(self) -> None:
        """Begin anew where a setting has changed while the daemon ran, such as the governor."""
        if _context(self._view) != self._context:
            await self.restart()

    async def keep(self) -> None:
        """Write down what is known. A store that can't be written costs the baseline at the next start."""
        kept = _Kept(self._context, self._since_s, self._judge.watched())
        text = msgspec.json.encode(kept).decode()
        try:
            await self._in_worker(lambda: self._store.set_note(_NOTE, text))
        except StoreError as error:
            _log.error("%s", error.message)

    async def _kept(self) -> _Kept | None:
        noted = await self._in_worker(lambda: self._store.note(_NOTE))
        if not noted:
            return None
        try:
            return msgspec.json.decode(noted, type=_Kept)
        except msgspec.DecodeError as error:
            # Written by another version: its visits are still there to learn from.
            _log.warning("the drift baselines that were kept can't be read: %s", error)
            return None


def _context(view: View) -> dict[str, str | None]:
    return {"fingerprint": view.fingerprint, **{name: view.machine.setting(name) for name in _SETTINGS}}
