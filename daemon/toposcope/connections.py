"""Connections with limits: whoever is slow to ask, or leaves connections open, is closed, not the scraper.

uvicorn answers 503 once too many connections are open, so a hundred half-open ones would shut the scraper
out. Here those that have asked nothing make room, oldest first, then those whose answer was given long ago.
"""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from toposcope.web_tls import is_allowed

# Time from the first byte (or from connecting) until a request with its body has to be complete.
REQUEST_TIMEOUT_S: Final = 10.0
# Whoever has just connected may ask before they have to make room: a crowd of silent ones that comes at the
# same time as a scraper must not push it out before its request was read.
_GRACE_S: Final = 1.0
# So many times the limit may be open for that moment, as far as the process may open files.
_CROWD_RATIO: Final = 10


class _Open:
    """The open connections of one server, in the order in which they may have to go."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._crowd_max = max(connections_max, min(connections_max * _CROWD_RATIO, files_max // 2))
        self._silent: OrderedDict[LimitedConnection, None] = OrderedDict()
        self._asked: OrderedDict[LimitedConnection, None] = OrderedDict()

    def add(self, connection: LimitedConnection) -> None:
        """One more has connected; others may be closed for it."""
        self._silent[connection] = None
        while excess := self._excess():
            excess.close_now()

    def has_asked(self, connection: LimitedConnection) -> None:
        """A whole request came: from now on it goes after all that are silent."""
        if connection in self._silent:
            del self._silent[connection]
            self._asked[connection] = None

    def remove(self, connection: LimitedConnection) -> None:
        """It is closed or being closed."""
        self._silent.pop(connection, None)
        self._asked.pop(connection, None)

    def _excess(self) -> LimitedConnection | None:
        """Which connection is one too many, if any is."""
        count = len(self._silent) + len(self._asked)
        if count <= self._connections_max:
            return None
        oldest = next(iter(self._silent), None)
        if oldest is not None and (oldest.age_s >= _GRACE_S or count > self._crowd_max):
            return oldest
        if len(self._asked) > self._connections_max:
            return next((each for each in self._asked if not each.has_answer_under_way), None)
        return None


class LimitedConnection(H11Protocol):
    """One client's connection; what it is limited to is set by `limited_to`."""

    open_ones = _Open(100)
    allowed_sans: Collection[str] = ()
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: make room for it, and expect its request soon."""
        super().connection_made(transport)
        self._connected_s = self.loop.time()
        if not is_allowed(transport.get_extra_info("peercert"), self.allowed_sans):
            self.close_now()
            return
        self._expect_request()
        self.open_ones.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came: part of a request, or all of it."""
        super().data_received(data)
        if not self._is_asking:
            self.open_ones.has_asked(self)
            self._cancel_deadline()
        elif self._deadline is None:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        self.open_ones.remove(self)
        self._cancel_deadline()
        super().connection_lost(exc)

    def close_now(self) -> None:
        """Close without an answer."""
        self.open_ones.remove(self)
        self.transport.abort()

    @property
    def age_s(self) -> float:
        """Seconds since it was made."""
        return self.loop.time() - self._connected_s

    @property
    def has_answer_under_way(self) -> bool:
        """Whether its request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete and not self._is_asking

    @property
    def _is_asking(self) -> bool:
        """Whether the client has yet to send the rest of a request, or any."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._give_up)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_asking and not self.transport.is_closing():
            self.close_now()


def limited_to(connections_max: int, allowed_sans: Collection[str] = ()) -> type[LimitedConnection]:
    """The protocol class for a server that keeps about so many connections open.

    With `allowed_sans`, a client whose certificate has none of these names is closed without an answer.
    """
    limits = {"open_ones": _Open(connections_max), "allowed_sans": allowed_sans}
    return type("LimitedConnection", (LimitedConnection,), limits)
