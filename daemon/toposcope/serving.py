"""Listening and answering until told to stop: what the daemon and a replay have in common."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from toposcope import __version__, config, systemd
from toposcope.connections import limited_to
from toposcope.errors import BusyError, ToposcopeError

_log = logging.getLogger(__name__)

_SHUTDOWN_GRACE_S: Final = 1.0
_KEEP_ALIVE_S: Final = 15
_TLS_HANDSHAKE_S: Final = 10.0


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    web: config.Web,
    stop: asyncio.Event,
    loops: Iterable[Coroutine[Any, Any, None]] = (),
) -> None:
    """Serve `app` and run `loops` until `stop` is set; then cancel the loops and close what is open.

    Raises ConfigError before anything is served where the web configuration file is no good.
    """
    access = None
    if web.config_file:
        from toposcope.web_access import Access  # bcrypt's megabytes are for those who use it

        access = Access(Path(web.config_file))
    server = _Server(
        uvicorn.Config(
            access.around(app) if access else app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=limited_to(web.max_connections, access.settings.tls.client_allowed_sans if access else ()),
            loop="asyncio",
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=16_384,
        ),
        access.context if access else None,
    )
    scheme = "https" if access and access.context else "http"
    _log.info("toposcope %s serves %s://%s", __version__, scheme, shown_address(listener))
    renewing = [access.keep_renewing()] if access else []
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[listener]))
        running = [group.create_task(each) for each in (*loops, *renewing)]
        systemd.notify("READY=1")
        await stop.wait()
        systemd.notify("STOPPING=1")
        for task in running:
            task.cancel()
        server.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(serving), _SHUTDOWN_GRACE_S)
        server.force_exit = True


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers and its ten ticks a second: an idle daemon sleeps."""

    def __init__(self, settings: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(settings)
        self._tls = tls
        self._stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; uvicorn's own way leaves a client a minute for its TLS handshake."""
        assert sockets is not None
        loop = asyncio.get_running_loop()
        patience = {"ssl_handshake_timeout": _TLS_HANDSHAKE_S} if self._tls else {}
        self.servers = [
            await loop.create_server(self._connection, sock=each, ssl=self._tls, **patience)  # type: ignore[call-overload]
            for each in sockets
        ]
        self.started = True

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stopping is the service's business."""
        yield

    async def main_loop(self) -> None:
        """Wait; uvicorn's own loop wakes up to keep a Date header fresh, which the application sets."""
        await self.on_tick(0)
        await self._stopping.wait()

    def stop(self) -> None:
        """Close the listening socket and idle connections, let answers under way finish."""
        self.should_exit = True
        self._stopping.set()


def allowed_hosts(web: config.Web) -> list[str]:
    """Names for the Host header: the configured ones, the listen address and the loopback names."""
    host, _ = config.split_address(web.listen_address)
    names = ["localhost", "127.0.0.1", "::1", host, *web.allowed_hosts]
    return [name.lower() for name in names]


def open_listener(address: str) -> socket.socket:
    """The listening socket: systemd's, else a new one. Raises BusyError where the address is taken."""
    inherited = systemd.inherited_socket()
    if inherited is not None:
        return inherited
    host, port = config.split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise BusyError(
                f"{address}: another program listens there already",
                "stop it (another toposcope?), or set another web.listen_address",
            ) from error
        raise ToposcopeError(f"{address}: can't listen there: {error.strerror or error}") from error
    return listener


def shown_address(listener: socket.socket) -> str:
    """`HOST:PORT` as it stands in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
