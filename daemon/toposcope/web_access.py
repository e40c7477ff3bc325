"""Who may ask, and what every answer says: basic authentication and headers of the web configuration.

A bcrypt check takes some 70 ms of CPU time, so each pair of name and password is checked once and the
verdict kept under a keyed hash: the cache of a process that is read out by somebody gives no password.
One check runs at a time, in a thread, so that a flood of wrong passwords delays no scraper whose password is
known already. Refused pairs have a cache of their own: they push out no good one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import os
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import bcrypt
import msgspec
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toposcope import web_tls, webconfig
from toposcope.errors import ConfigError

_log = logging.getLogger(__name__)

RENEWAL_INTERVAL_S: Final = 10.0
_CACHE_MAX: Final = 128
_PASSWORD_BYTES_MAX: Final = 72  # bcrypt(3) looks at no more; a longer one is not what was hashed


class Passwords:
    """Checks names and passwords against bcrypt hashes, and remembers what came out."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        # The hash of nothing that anybody knows: unknown names take as long to refuse as known ones.
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(10))
        self._verdicts: dict[bool, OrderedDict[bytes, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._one_at_a_time = asyncio.Lock()
        self.checks = 0

    async def are_right(self, users: Mapping[str, str], authorization: str) -> bool:
        """Whether the Authorization header names one of `users` with the password of its hash."""
        name, password = _credentials(authorization)
        if name is None or not 1 <= len(password) <= _PASSWORD_BYTES_MAX:
            return False
        hashed = users.get(name)
        key = self._cache_key(name, hashed or "", password)
        if not self._is_known(key):
            async with self._one_at_a_time:
                if not self._is_known(key):  # whoever had the lock before may have asked the same
                    await self._check(key, password, hashed)
        return key in self._verdicts[True]

    def _is_known(self, key: bytes) -> bool:
        return any(key in cache for cache in self._verdicts.values())

    async def _check(self, key: bytes, password: bytes, hashed: str | None) -> None:
        self.checks += 1
        against = hashed.encode() if hashed is not None else self._nobody
        matches = await asyncio.to_thread(bcrypt.checkpw, password, against)
        cache = self._verdicts[matches and hashed is not None]
        cache[key] = None
        if len(cache) > _CACHE_MAX:
            cache.popitem(last=False)

    def _cache_key(self, name: str, hashed: str, password: bytes) -> bytes:
        message = b"".join(
            len(part).to_bytes(4, "big") + part for part in (name.encode(), hashed.encode(), password)
        )
        return hashlib.blake2b(message, key=self._key, digest_size=32).digest()


def _credentials(authorization: str) -> tuple[str | None, bytes]:
    """Name and password of `Basic BASE64` (RFC 7617); (None, b"") where it isn't that."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None, b""
    try:
        name, separator, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode() if separator else None), password
    except (binascii.Error, ValueError):  # no base64, or a name that is no UTF-8
        return None, b""


class Access:
    """The web configuration in force; `renew` takes what can change without a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.settings = webconfig.load(path)
        self.context = web_tls.make_context(self.settings.tls) if self.settings.tls.enabled else None
        self._seen = self._stamps()
        self._passwords = Passwords()

    async def keep_renewing(self) -> None:
        """Look for new certificates, passwords and headers every ten seconds."""
        while True:
            await asyncio.sleep(RENEWAL_INTERVAL_S)
            self.renew()

    def renew(self) -> None:
        """Take what changed in the files; a bad one is logged once, and the old one stays in force."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            settings = webconfig.load(self._path)
            if settings.tls.enabled != (self.context is not None):
                raise ConfigError("turning TLS on or off needs a restart")
            if self.context is not None:
                # Into a throw-away context first: a bad pair must not spoil the one in use.
                web_tls.make_context(settings.tls)
                web_tls.load_certificate(self.context, settings.tls)
        except ConfigError as error:
            _log.error("the old web configuration stays in force: %s", error.message)
            return
        if _fixed(settings.tls) != _fixed(self.settings.tls):
            _log.warning("clients and versions in tls_server_config change with a restart only")
        self.settings = settings
        _log.info("web configuration taken anew")

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self.settings.files]

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application, for those who may ask."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            send = _with_headers(send, self.settings.headers)
            if self.settings.users:
                given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
                if not await self._passwords.are_right(self.settings.users, given.decode("latin-1")):
                    await _refusal()(scope, receive, send)
                    return
            await app(scope, receive, send)

        return guarded


def _fixed(tls: webconfig.Tls) -> webconfig.Tls:
    return msgspec.structs.replace(tls, cert="", key="", cert_file="", key_file="")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - the same, without a new object for each look
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _with_headers(send: Send, headers: tuple[tuple[str, str], ...]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered = MutableHeaders(scope=message)
            for name, value in headers:
                answered[name] = value
        await send(message)

    return wrapped


def _refusal() -> Response:
    body = {"error": {"code": "unauthorized", "message": "name and password are needed", "hint": ""}}
    return Response(
        msgspec.json.encode(body), 401, {"WWW-Authenticate": "Basic"}, media_type="application/json"
    )
