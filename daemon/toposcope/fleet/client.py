"""A client of Prometheus' HTTP API (also Thanos, Mimir, VictoriaMetrics): instant queries only."""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from toposcope.errors import DaemonError, UsageError

_ANSWER_BYTES_MAX: Final = 256 << 20
_ERROR_BYTES_MAX: Final = 65_536
_SECRET_BYTES_MAX: Final = 65_536


@dataclass(frozen=True)
class Access:
    """How to get at the server; secrets come from files, so that they stand in no process list."""

    url: str
    user: str | None = None
    password_file: Path | None = None
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    skip_verification: bool = False
    timeout_s: float = 30.0


class Series(msgspec.Struct, frozen=True):
    """One series of an instant query: its labels, and (seconds since the epoch, value as text)."""

    metric: dict[str, str]
    value: tuple[float, str]

    @property
    def number(self) -> float:
        """The value."""
        return float(self.value[1])


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815 - the API's word
    result: list[Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the secret to whoever it names; it is reported instead."""

    def redirect_request(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the base class's signature
        return None


class Client:
    """Asks one server. Raises UsageError where the access makes no sense."""

    def __init__(self, access: Access) -> None:
        address = urllib.parse.urlsplit(access.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UsageError(f"--prometheus: {access.url[:100]!r} is not an http:// or https:// address")
        if address.username or address.password:
            raise UsageError("--prometheus: a password doesn't belong into the address",
                             "use --user and --password-file")  # fmt: skip
        if bool(access.user) != bool(access.password_file):
            raise UsageError("--user and --password-file go together")
        if access.user and access.bearer_token_file:
            raise UsageError("only one of --user and --bearer-token-file can say who asks")
        self._url = access.url.rstrip("/")
        self._timeout_s = access.timeout_s
        self._headers = _authorization(access)
        context = _tls(access) if address.scheme == "https" else None
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def query(self, expr: str, *, at_s: float | None = None) -> list[Series]:
        """The series of an instant query, now or at a time. Raises DaemonError in the server's words."""
        fields = {"query": expr} | ({} if at_s is None else {"time": f"{at_s:.3f}"})
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self._url}/api/v1/query", urllib.parse.urlencode(fields).encode(), self._headers
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                body = answer.read(_ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            raise DaemonError(f"{self._url}: {_refusal(error)}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise DaemonError(f"{self._url}: can't be reached: {reason}", "check --prometheus") from None
        if len(body) > _ANSWER_BYTES_MAX:
            raise DaemonError(f"{self._url}: answered more than {_ANSWER_BYTES_MAX >> 20} MiB",
                              "narrow it with --select")  # fmt: skip
        try:
            return msgspec.json.decode(body, type=_Answer).data.result
        except msgspec.DecodeError as error:
            raise DaemonError(f"{self._url}: doesn't answer as Prometheus does: {error}") from None


def _authorization(access: Access) -> Mapping[str, str]:
    if access.user and access.password_file:
        pair = f"{access.user}:{_secret(access.password_file)}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
    if access.bearer_token_file:
        return {"Authorization": f"Bearer {_secret(access.bearer_token_file)}"}
    return {}


def _secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            secret = file.read(_SECRET_BYTES_MAX).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    if not secret or "\n" in secret:
        raise UsageError(f"{path}: has to hold one line, the secret")
    return secret


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(access.ca_file) if access.ca_file else None)
        if access.client_certificate_file:
            context.load_cert_chain(access.client_certificate_file, access.client_key_file)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"the TLS files can't be used: {error}") from error
    if access.skip_verification:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        complaint = msgspec.json.decode(error.read(_ERROR_BYTES_MAX), type=dict[str, Any])["error"]
    except (msgspec.DecodeError, KeyError, OSError):
        complaint = error.reason
    return f"answered {error.code}: {str(complaint)[:300]}"
