"""The errors that operators see. Each says what is wrong, where, and what to do.

ToposcopeError              one sentence in `str(error)`, optionally a hint; exit status 1
├── UsageError              the request itself is wrong; exit status 2
│   ├── ContradictionError  well formed, but at odds with itself or with the machine; HTTP says 409, not 400
│   └── ConfigError         a key of config.yaml; names the key's path, the value, what is allowed
├── TopologyError           no machine can be read below this root
├── StoreError              the store can't be opened or written
├── BusyError               another process holds the machine-wide measuring lock, the port or the store
├── MatrixError             a matrix file can't be read
└── DaemonError             the daemon can't be reached or refused

Expected absence is not an error but a value (`not_applicable: reason`); a mistake of ours is an
`assert`. There is no fourth kind.
"""

from __future__ import annotations


class ToposcopeError(Exception):
    """Base of all errors shown to an operator as one clear sentence.

    `code` is the machine-readable name in JSON errors, `hint` says what to do next (may be empty).
    """

    exit_status = 1
    code = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ToposcopeError):
    """The request is wrong in itself."""

    exit_status = 2
    code = "usage"


class ContradictionError(UsageError):
    """The request is well formed, but it contradicts itself, or this machine can't meet it."""

    code = "contradiction"


class ConfigError(UsageError):
    """A configuration file is wrong; the message starts with the file and the key's path."""

    code = "config"


class TopologyError(ToposcopeError):
    """No machine can be read below the given root or from the given file."""

    code = "topology"


class StoreError(ToposcopeError):
    """The results' store can't be opened, read or written."""

    code = "store"


class BusyError(ToposcopeError):
    """Something that only one process may hold is held by another one."""

    code = "busy"


class MatrixError(UsageError):
    """A matrix file can't be read."""

    code = "matrix"


class DaemonError(ToposcopeError):
    """The daemon can't be reached, or it refused."""

    code = "daemon"
