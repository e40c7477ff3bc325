"""How our clients show a web server who they are: a password or a token, and certificates.

Secrets come from files or the environment, so that they stand in no process list, and follow no redirect.
"""

from __future__ import annotations

import base64
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult

from toposcope.errors import UsageError

_SECRET_BYTES_MAX: Final = 65_536
_THIS_HOST: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Credentials:
    """Who asks, and whom we trust."""

    user: str | None = None
    password_file: Path | None = None
    password: str | None = None
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    skip_verification: bool = False

    def headers(self) -> Mapping[str, str]:
        """What a request has to carry. Raises UsageError where what was given makes no sense."""
        if bool(self.user) != bool(self.password_file or self.password):
            raise UsageError("--user and --password-file go together")
        if self.user and self.bearer_token_file:
            raise UsageError("only one of --user and --bearer-token-file can say who asks")
        if self.user:
            password = _secret(self.password_file) if self.password_file else self.password
            return {"Authorization": "Basic " + base64.b64encode(f"{self.user}:{password}".encode()).decode()}
        if self.bearer_token_file:
            return {"Authorization": f"Bearer {_secret(self.bearer_token_file)}"}
        return {}

    def opener(self, address: SplitResult) -> urllib.request.OpenerDirector:
        """What opens an http or https address. Raises UsageError for unusable files.

        This host is asked directly, whatever proxy the environment names.
        """
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if address.hostname in _THIS_HOST:
            handlers.append(urllib.request.ProxyHandler({}))
        if address.scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=self._tls()))
        return urllib.request.build_opener(*handlers)

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            if self.client_certificate_file:
                context.load_cert_chain(self.client_certificate_file, self.client_key_file, _no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise UsageError(f"the TLS files can't be used: {error}") from error
        if self.skip_verification:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the secret to whoever it names; it is reported instead."""

    def redirect_request(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the base class's signature
        return None


def _no_password() -> str:
    raise ValueError("the key is locked by a password")


def _secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            secret = file.read(_SECRET_BYTES_MAX).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    if not secret or "\n" in secret:
        raise UsageError(f"{path}: has to hold one line, the secret")
    return secret
