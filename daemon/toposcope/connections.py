"""Connections with limits: whoever is slow to ask, or leaves connections open, is closed, not the scraper.

uvicorn answers 503 once too many connections are open, so a hundred half-open ones would shut the scraper
out. Here the oldest connection that has not asked anything makes room for the newest one instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from toposcope.web_tls import is_allowed

# Time from the first byte (or from connecting) until a request with its body has to be complete.
REQUEST_TIMEOUT_S: Final = 10.0


class LimitedConnection(H11Protocol):
    """One client's connection; what it is limited to is set by `limited_to`."""

    connections_max = 100
    allowed_sans: Collection[str] = ()
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: make room for it, and expect its request soon."""
        super().connection_made(transport)
        if not is_allowed(transport.get_extra_info("peercert"), self.allowed_sans):
            self.close_now()
        self._connected_s = self.loop.time()
        self._expect_request()
        if len(self.connections) > self.connections_max:
            self._oldest_other().close_now()

    def data_received(self, data: bytes) -> None:
        """Bytes came: part of a request, or all of it."""
        super().data_received(data)
        if self._deadline is None and self._is_asking:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def close_now(self) -> None:
        """Close without an answer."""
        self.transport.abort()

    @property
    def _is_asking(self) -> bool:
        """Whether the client has yet to send the rest of a request, or any."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    @property
    def _has_answer_under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and not self._is_asking

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_asking and not self.transport.is_closing():
            self.close_now()

    def _oldest_other(self) -> LimitedConnection:
        others = [
            each for each in self.connections if isinstance(each, LimitedConnection) and each is not self
        ]
        return min(others, key=lambda each: (each._has_answer_under_way, each._connected_s))  # noqa: SLF001


def limited_to(connections_max: int, allowed_sans: Collection[str] = ()) -> type[LimitedConnection]:
    """The protocol class for a server that keeps at most so many connections open.

    With `allowed_sans`, a client whose certificate has none of these names is closed without an answer.
    """
    limits = {"connections_max": connections_max, "allowed_sans": allowed_sans}
    return type("LimitedConnection", (LimitedConnection,), limits)
