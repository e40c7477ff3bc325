"""Where a reading command's answer comes from: a replayed machine, a daemon, the user's own store.

The order is DESIGN's: `--sysroot`, `--topology` or `--matrix` mean that machine; else `--url` or
TOPOSCOPE_URL; else a daemon at the default address; else the user's own store.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from toposcope import config
from toposcope.errors import DaemonError

DEFAULT_URL: Final = "http://127.0.0.1:9847"
_TIMEOUT_S: Final = 10.0
_ANSWER_BYTES_MAX: Final = 256 << 20

_Command = TypeVar("_Command", bound=Callable[..., Any])


def url_option(command: _Command) -> _Command:
    """`--url`: which daemon to ask."""
    return click.option(
        "--url", envvar="TOPOSCOPE_URL", metavar="URL",
        help=f"Ask this daemon (also TOPOSCOPE_URL). Default: one at {DEFAULT_URL}, if it runs.",
    )(command)  # fmt: skip


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

    def __init__(self, url: str) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise DaemonError(f"{url}: is not an http:// or https:// address")
        self.url = url.rstrip("/")

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """A JSON document. Raises DaemonError with the daemon's own sentence where it refuses."""
        return msgspec.json.decode(self.get_bytes(path, **query), type=dict[str, Any])

    def get_bytes(self, path: str, **query: str) -> bytes:
        """The body of an answer."""
        address = self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - scheme checked
                return bytes(answer.read(_ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            raise DaemonError(f"{self.url}: {_refusal(error)}") from None
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise DaemonError(
                f"{self.url}: can't be reached: {reason}", "is `toposcope serve` running?"
            ) from None


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        refusal = msgspec.json.decode(error.read(65_536))["error"]
        return f"{refusal['message']} ({error.code})"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"answered {error.code} {error.reason}"


def find_daemon(url: str | None) -> Daemon | None:
    """The daemon that was named, which has to answer; else one at the default address, if it does."""
    daemon = Daemon(url or DEFAULT_URL)
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
