"""TLS as the web configuration asks for it: the server's context, and which clients' names it lets in."""

from __future__ import annotations

import os
import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from toposcope.errors import ConfigError
from toposcope.webconfig import Tls

_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CURVES: Final = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
# Go's names, as the format has them (crypto/tls, CipherSuites), to OpenSSL's; TLS 1.3's can't be chosen in
# either. The two with CBC and SHA-1 and without forward secrecy are left to OpenSSL's own judgement.
_CIPHERS: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
_WHERE: Final = "tls_server_config"


def make_context(tls: Tls) -> ssl.SSLContext:
    """The server's TLS context. Raises ConfigError where a file, a key or a name in it is no good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _set_ciphers(context, tls)
    if tls.curve_preferences:
        context.set_ecdh_curve(_CURVES[tls.curve_preferences[0]])
    load_certificate(context, tls)
    _set_clients(context, tls)
    return context


def load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """Take the server's certificate and key, also in place of earlier ones. Raises ConfigError.

    A handshake begun after it uses the new ones: a renewed certificate needs no restart.
    """
    cert_file, key_file = tls.cert_file, tls.key_file
    inline = [_in_memory(text) for text in (tls.cert, tls.key) if text]
    try:
        files = iter(inline)
        cert_file = cert_file or _path_of(next(files))
        key_file = key_file or _path_of(next(files))
        # A password would be asked for on the terminal: a service has none.
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{_WHERE}: certificate and key can't be used: {_said(error)}") from error
    finally:
        for descriptor in inline:
            os.close(descriptor)


def is_allowed(certificate: Mapping[str, Any] | None, allowed_sans: Collection[str]) -> bool:
    """Whether one of a verified certificate's subject alternative names is an allowed one, letter by letter.

    `certificate` is what SSLSocket.getpeercert() returns. No allowed names: every verified client may enter.
    """
    if not allowed_sans:
        return True
    names = (value for _, value in (certificate or {}).get("subjectAltName", ()))
    return any(name in allowed_sans for name in names)


def _set_ciphers(context: ssl.SSLContext, tls: Tls) -> None:
    for name in tls.cipher_suites:
        if name not in _CIPHERS:
            raise ConfigError(
                f"{_WHERE}.cipher_suites: {name[:60]!r} is not known here",
                f"allowed: {', '.join(_CIPHERS)}",
            )
    chosen = [_CIPHERS[name] for name in tls.cipher_suites if _CIPHERS[name]]
    if chosen:
        context.set_ciphers(":".join(chosen))


def _set_clients(context: ssl.SSLContext, tls: Tls) -> None:
    if not (tls.client_ca or tls.client_ca_file):
        return
    try:
        authorities = tls.client_ca or Path(tls.client_ca_file).read_text(encoding="ascii")
        context.load_verify_locations(cadata=authorities)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{_WHERE}: the client CA can't be used: {_said(error)}") from error
    required = tls.client_auth_type == "RequireAndVerifyClientCert"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL


def _in_memory(text: str) -> int:
    """A file that exists in memory only: OpenSSL wants names, and a key has no business on a disk."""
    descriptor = os.memfd_create("toposcope-pem", os.MFD_CLOEXEC)
    os.write(descriptor, text.encode())
    return descriptor


def _path_of(descriptor: int) -> str:
    return f"/dev/fd/{descriptor}"


def _no_password() -> str:
    raise ValueError("the key is locked by a password")


def _said(error: Exception) -> str:
    """What went wrong, without OpenSSL's source lines."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not valid PEM").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
