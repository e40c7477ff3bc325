"""Where a reading command's answer comes from: a replayed machine, a daemon, the user's own store.

The order is DESIGN's: `--sysroot`, `--topology` or `--matrix` mean that machine; else `--url` or
TOPOSCOPE_URL; else a daemon at the default address; else the user's own store.
"""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from toposcope import config
from toposcope.errors import DaemonError, UsageError
from toposcope.web_client import Credentials

DEFAULT_URL: Final = "http://127.0.0.1:9847"
_TIMEOUT_S: Final = 10.0
_ANSWER_BYTES_MAX: Final = 256 << 20

# Under this name click's context keeps what the options said.
_CREDENTIALS: Final = "toposcope.credentials"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def url_option(command: _Command) -> _Command:
    """`--url`: which daemon to ask; and how to be let in. The latter goes to `find_daemon` by the context."""
    for name, parameter, metavar, help_text in (
        ("--key-file", "client_key_file", "FILE", "Its key."),
        ("--cert-file", "client_certificate_file", "FILE", "Client certificate, where the daemon wants one."),
        ("--ca-file", "ca_file", "FILE", "Authorities to trust instead of the system's."),
        ("--password-file", "password_file", "FILE", "Holds the password (or set TOPOSCOPE_PASSWORD)."),
        ("--user", "user", "NAME", "Who asks, where the daemon wants a password."),
    ):
        command = click.option(
            name, parameter, metavar=metavar, help=help_text, expose_value=False, callback=_keep,
            envvar=f"TOPOSCOPE_{name[2:].replace('-', '_').upper()}",
            type=str if parameter == "user" else click.Path(path_type=Path),
        )(command)  # fmt: skip
    return click.option(
        "--url", envvar="TOPOSCOPE_URL", metavar="URL",
        help=f"Ask this daemon (also TOPOSCOPE_URL). Default: one at {DEFAULT_URL}, if it runs.",
    )(command)  # fmt: skip


def _keep(context: click.Context, parameter: click.Parameter, value: str | Path | None) -> None:
    if value is not None:
        context.meta.setdefault(_CREDENTIALS, {})[parameter.name] = value


def _credentials() -> Credentials:
    """What the options of `url_option` said in this run."""
    context = click.get_current_context(silent=True)
    given = dict(context.meta.get(_CREDENTIALS, {})) if context else {}
    if given.get("user") and "password_file" not in given:
        given["password"] = os.environ.get("TOPOSCOPE_PASSWORD")
    return Credentials(**given)


def config_option(command: _Command) -> _Command:
    """`--config`: which configuration's store to read where no daemon runs."""
    return click.option(
        "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Configuration file."
    )(command)


def replay_options(command: _Command) -> _Command:
    """`--sysroot`, `--topology`, `--matrix`: speak of that machine, and measure nothing."""
    for name, parameter, metavar, help_text in (
        ("--matrix", "matrix_file", "FILE", "Replay this matrix (CSV)."),
        ("--topology", "topology_file", "FILE", "Replay the machine of a `topology --format json` file."),
        ("--sysroot", "sysroot", "DIR", "Replay the captured machine below DIR."),
    ):
        option = click.option(
            name, parameter, type=click.Path(path_type=Path), metavar=metavar, help=help_text
        )
        command = option(command)
    return command


def settings_from(config_file: Path | None) -> config.Config:
    """The configuration of a file, or the defaults."""
    return config.load(config_file) if config_file else config.Config()


class Daemon:
    """A running daemon, asked over HTTP."""

    def __init__(self, url: str, credentials: Credentials | None = None) -> None:
        address = urllib.parse.urlsplit(url)
        if address.scheme not in ("http", "https"):
            raise DaemonError(f"{url}: is not an http:// or https:// address")
        if address.username or address.password:
            raise UsageError("--url: a password doesn't belong into the address",
                             "use --user and --password-file")  # fmt: skip
        credentials = credentials or Credentials()
        self.url = url.rstrip("/")
        self._headers = credentials.headers()
        self._opener = credentials.opener(address)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """A JSON document. Raises DaemonError with the daemon's own sentence where it refuses."""
        return msgspec.json.decode(self.get_bytes(path, **query), type=dict[str, Any])

    def get_bytes(self, path: str, **query: str) -> bytes:
        """The body of an answer."""
        address = self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(address, headers=dict(self._headers))  # noqa: S310 - scheme checked
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return bytes(answer.read(_ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            hint = "name yourself by --user and --password-file" if error.code == 401 else ""
            raise DaemonError(f"{self.url}: {_refusal(error)}", hint) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            is_tls = isinstance(reason, ssl.SSLError)
            hint = "see --ca-file, --cert-file and --key-file" if is_tls else "is `toposcope serve` running?"
            raise DaemonError(f"{self.url}: can't be reached: {reason}", hint) from None


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        refusal = msgspec.json.decode(error.read(65_536))["error"]
        return f"{refusal['message']} ({error.code})"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"answered {error.code} {error.reason}"


def find_daemon(url: str | None) -> Daemon | None:
    """The daemon that was named, which has to answer; else one at the default address, if it does."""
    # Whoever listens at the default address was not named: no password is shown there.
    daemon = Daemon(url or DEFAULT_URL, _credentials() if url else None)
    try:
        daemon.get_bytes("/-/healthy")
    except DaemonError:
        if url:
            raise
        return None
    return daemon


def own_store(settings: config.Config) -> Path:
    """The folder of the user's own store."""
    return config.store_directory(settings, os.environ)
