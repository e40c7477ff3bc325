"""A client of Prometheus' HTTP API (also Thanos, Mimir, VictoriaMetrics): instant queries only."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from toposcope.errors import DaemonError, UsageError
from toposcope.web_client import Credentials

_ANSWER_BYTES_MAX: Final = 256 << 20
_ERROR_BYTES_MAX: Final = 65_536


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


class Client:
    """Asks one server. Raises UsageError where the access makes no sense."""

    def __init__(self, access: Access) -> None:
        address = urllib.parse.urlsplit(access.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UsageError(f"--prometheus: {access.url[:100]!r} is not an http:// or https:// address")
        if address.username or address.password:
            raise UsageError("--prometheus: a password doesn't belong into the address",
                             "use --user and --password-file")  # fmt: skip
        credentials = Credentials(
            user=access.user,
            password_file=access.password_file,
            bearer_token_file=access.bearer_token_file,
            ca_file=access.ca_file,
            client_certificate_file=access.client_certificate_file,
            client_key_file=access.client_key_file,
            skip_verification=access.skip_verification,
        )
        self._url = access.url.rstrip("/")
        self._timeout_s = access.timeout_s
        self._headers = credentials.headers()
        self._opener = credentials.opener(address)

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


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        complaint = msgspec.json.decode(error.read(_ERROR_BYTES_MAX), type=dict[str, Any])["error"]
    except (msgspec.DecodeError, KeyError, OSError):
        complaint = error.reason
    return f"answered {error.code}: {str(complaint)[:300]}"
