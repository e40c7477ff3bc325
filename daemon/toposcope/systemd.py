"""The two things a service says to and hears from systemd: sd_notify(3) and sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

_FIRST_FD: Final = 3


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STATUS=…`; false where nobody listens (not run by systemd)."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watchdog_interval_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Half of the time within which systemd wants to hear WATCHDOG=1; None where it doesn't."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 2e6


def inherited_socket(environment: Mapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket of socket activation (the first one), or None."""
    if environment.get("LISTEN_PID") != str(os.getpid()) or environment.get("LISTEN_FDS", "0") == "0":
        return None
    return socket.socket(fileno=_FIRST_FD)
