"""The web configuration file of Prometheus' exporters: TLS, client certificates, passwords and headers.

The format is the exporter toolkit's (prometheus/exporter-toolkit, docs/web-configuration.md), so that people
use the file that they have. What this daemon can't do is refused by name rather than passed over: an option
that protects nothing would be worse than a daemon that doesn't start. docs/security.md lists those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from toposcope import config
from toposcope.errors import ConfigError

# What bcrypt writes: version, cost, then 22 characters of salt and 31 of hash. Costs as the format has them.
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
# As above, wherever it stands and however it was cut.
_HASH: Final = re.compile(r"\$2[abxy]?\$\S*")
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}

TlsVersion = Literal["TLS12", "TLS13"]
ClientAuth = Literal["", "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
Curve = Literal["CurveP256", "CurveP384", "CurveP521", "X25519"]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tls_server_config`; paths are absolute once loaded."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: ClientAuth = ""
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[Curve, ...] = ()

    @property
    def enabled(self) -> bool:
        """Whether any key asks for TLS, as the toolkit decides it."""
        return any(
            (self.cert, self.key, self.client_ca, self.cert_file, self.key_file, self.client_ca_file,
             self.client_auth_type)
        )  # fmt: skip


class _Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`http_server_config`; HTTP/2 is allowed there, and never spoken here."""

    http2: bool = True
    headers: dict[Any, Any] | None = None


class WebConfig(msgspec.Struct, frozen=True):
    """A whole web configuration file. `users` holds bcrypt hashes by name: it is never logged."""

    tls: Tls = Tls()
    headers: tuple[tuple[str, str], ...] = ()
    users: Mapping[str, str] = msgspec.field(default_factory=dict)
    files: tuple[Path, ...] = ()


def load(path: Path) -> WebConfig:
    """Read and validate a file; relative paths in it start at its folder. Raises ConfigError."""
    return parse(config.read(path), path)


def parse(content: bytes, path: Path) -> WebConfig:
    """Validate the text of the file `path`. Raises ConfigError with one sentence, without any secret."""
    try:
        document = config.parse_document(content, str(path))
    except ConfigError as error:
        raise ConfigError(_HASH.sub("(a hash)", error.message), error.hint) from None
    try:
        config.refuse_unknown(document, ("tls_server_config", "http_server_config", "basic_auth_users"), "")
        tls = _tls(_section(document, "tls_server_config"), path.absolute().parent)
        http = config.convert(_section(document, "http_server_config"), _Http, "http_server_config")
        users = _users(_section(document, "basic_auth_users"))
        headers = _headers(http.headers or {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {_HASH.sub('(a hash)', error.message)}", error.hint) from None
    files = (path, *(Path(name) for name in (tls.cert_file, tls.key_file) if name))
    return WebConfig(tls, headers, users, files)


def _section(document: dict[Any, Any], name: str) -> dict[Any, Any]:
    """As config.section, but its complaint shows no value: `alice:password` without a blank is text."""
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{name}: has to hold keys and values", "a blank has to follow each colon")
    return value or {}


def _tls(section: dict[Any, Any], folder: Path) -> Tls:
    for name in ("cert", "key", "client_ca"):  # whose values no complaint may show
        if not isinstance(section.get(name, ""), str | None):
            raise ConfigError(f"tls_server_config.{name}: has to be text, in PEM")
    # The format lets a key stand there without a value.
    tls = config.convert(
        {key: value for key, value in section.items() if value is not None}, Tls, "tls_server_config"
    )
    if not tls.enabled:
        return tls
    for name in ("cert", "key"):
        inline, file = getattr(tls, name), getattr(tls, f"{name}_file")
        if bool(inline) == bool(file):
            raise ConfigError(f"tls_server_config: exactly one of {name} and {name}_file has to be set")
    _check_clients(tls)
    if tls.min_version > tls.max_version:
        raise ConfigError("tls_server_config.min_version: is above max_version")
    if len(tls.curve_preferences) > 1:
        raise ConfigError(
            "tls_server_config.curve_preferences: only one curve can be set here",
            "leave it out, and OpenSSL offers all that it deems safe",
        )
    absolute = {
        name: str(folder / value)
        for name in ("cert_file", "key_file", "client_ca_file")
        if (value := getattr(tls, name))
    }
    return msgspec.structs.replace(tls, **absolute)


def _check_clients(tls: Tls) -> None:
    verifies = tls.client_auth_type in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
    has_authority = bool(tls.client_ca or tls.client_ca_file)
    if has_authority and not verifies:
        raise ConfigError(
            "tls_server_config: a client CA is set, but no client_auth_type that verifies clients",
            "set client_auth_type: RequireAndVerifyClientCert",
        )
    if verifies and not has_authority:
        raise ConfigError(
            "tls_server_config.client_auth_type: needs client_ca_file",
            "without one, every certificate that a public authority signed would be let in",
        )
    if tls.client_ca and tls.client_ca_file:
        raise ConfigError("tls_server_config: only one of client_ca and client_ca_file may be set")
    if tls.client_allowed_sans and tls.client_auth_type != "RequireAndVerifyClientCert":
        raise ConfigError(
            "tls_server_config.client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert"
        )


def _users(section: dict[Any, Any]) -> dict[str, str]:
    for name, secret in section.items():
        if not isinstance(name, str) or not name or ":" in name:
            raise ConfigError(f"basic_auth_users: {config.shown(name)} is no user's name")
        if not isinstance(secret, str) or not _BCRYPT.fullmatch(secret):
            raise ConfigError(
                f"basic_auth_users.{name[:60]}: is not a bcrypt hash",
                "write one with `htpasswd -nBC 10 NAME`",
            )
    return section


def _headers(section: dict[Any, Any]) -> tuple[tuple[str, str], ...]:
    config.refuse_unknown(section, tuple(_HEADERS), "http_server_config.headers.")
    for name, value in section.items():
        allowed = _HEADERS[name]
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ConfigError(f"http_server_config.headers.{name}: has to be one line of text")
        if value and allowed and value not in allowed:
            raise ConfigError(f"http_server_config.headers.{name}: only {' or '.join(allowed)} is allowed")
    return tuple((name, value) for name, value in section.items() if value)
