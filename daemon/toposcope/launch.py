"""Starting a command under advice: affinity, memory policy and OpenMP's environment of the calling thread.

The calling thread's affinity and memory policy survive execve(2) and are inherited by what it starts
(sched_setaffinity(2), set_mempolicy(2)). So `become` sets them and turns this very process into the command:
exit status, signals, terminal and process id are the command's own. `inherited` sets them for a moment, while
a process is being started, and puts them back. No other process is ever touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from toposcope.advise.answer import MemoryPolicy, Placement
from toposcope.errors import ToposcopeError
from toposcope.topology.cpulist import format_cpulist

# Numbers of set_mempolicy and get_mempolicy: arch/x86/entry/syscalls/syscall_64.tbl and
# include/uapi/asm-generic/unistd.h; glibc has no wrappers.
_SYSCALLS: Final = {"x86_64": (238, 239), "aarch64": (237, 236)}
# include/uapi/linux/mempolicy.h
_MODES: Final[Mapping[MemoryPolicy, int]] = {"default": 0, "bind": 2, "interleave": 3, "local": 4}
_NODES_MAX: Final = 4096  # more than any kernel's MAX_NUMNODES; get_mempolicy refuses a shorter mask
# Whoever has set one of these has decided about OpenMP's places already.
_OPENMP_PLACES: Final = ("OMP_PLACES", "OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # exit statuses by POSIX (2.8.2 of the shell's volume)


class StartError(ToposcopeError):
    """The command can't be started; the exit status is the one that env(1) and the shells have for it."""

    code = "start"

    def __init__(self, message: str, hint: str = "", *, exit_status: int = 1) -> None:
        super().__init__(message, hint)
        self.exit_status = exit_status


class MemoryPolicyError(StartError):
    """The kernel, a sandbox or the architecture refuses the memory policy; the command could run without."""


@dataclass(frozen=True, slots=True)
class Start:
    """What is set before a command starts. `cpus` None leaves the affinity, `default` the memory policy.

    `environment` holds the variables that are added.
    """

    cpus: tuple[int, ...] | None = None
    memory_policy: MemoryPolicy = "default"
    nodes: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing is set at all."""
        return self.cpus is None and self.memory_policy == "default" and not self.environment

    def sentence(self) -> str:
        """For people: `CPUs 0-3, memory bind on nodes 0, OMP_NUM_THREADS=4`."""
        if self.cpus is None:
            return "unchanged"
        parts = [f"CPUs {format_cpulist(sorted(self.cpus))}"]
        if self.memory_policy == "local":
            parts.append("memory from the node of the CPU that asks")
        elif self.memory_policy != "default":
            parts.append(f"memory policy {self.memory_policy} on nodes {format_cpulist(sorted(self.nodes))}")
        return ", ".join([*parts, *(f"{name}={value}" for name, value in self.environment.items())])


UNCHANGED: Final = Start()


def start_of(placement: Placement, environment: Mapping[str, str]) -> Start:
    """What a placement asks for, beside an environment that is there already (its own OMP_* words win).

    OpenMP is told of its places where the model is threads: with several processes each would bind its
    threads to the same first places.
    """
    return Start(
        placement.cpus,
        placement.memory_policy,
        placement.nodes if placement.memory_policy in ("bind", "interleave") else (),
        _openmp(placement, environment) if placement.model == "threads" else {},
    )


def _openmp(placement: Placement, environment: Mapping[str, str]) -> dict[str, str]:
    """Thread i on place i (OpenMP 5.2, section 6.4 and 6.5)."""
    added = {}
    if "OMP_NUM_THREADS" not in environment:
        added["OMP_NUM_THREADS"] = str(placement.workers)
    if not any(name in environment for name in _OPENMP_PLACES):
        added["OMP_PLACES"] = ",".join(f"{{{cpu}}}" for cpu in placement.cpus)
        added["OMP_PROC_BIND"] = "close"
    return added


def become(command: Sequence[str], start: Start) -> NoReturn:
    """Turn this process into the command. Raises StartError; must be called by the main thread."""
    _apply(start)
    # Python ignores these two, and ignoring is inherited through exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], list(command), {**os.environ, **start.environment})  # noqa: S606 - that is the task
    except FileNotFoundError:
        raise StartError(f"{command[0]}: command not found", exit_status=_NOT_FOUND) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StartError(f"{command[0]}: can't be started: {why}", exit_status=_NOT_EXECUTABLE) from None


@contextlib.contextmanager
def inherited(start: Start) -> Iterator[None]:
    """What is started within inherits affinity and memory policy; afterwards the caller has its own again.

    Raises StartError where the kernel refuses.
    """
    cpus = os.sched_getaffinity(0)
    policy = get_memory_policy() if start.memory_policy != "default" else None
    try:
        _apply(start)
        yield
    finally:
        os.sched_setaffinity(0, cpus)
        if policy is not None:
            _set_memory_policy(*policy)


def _apply(start: Start) -> None:
    if start.memory_policy != "default":
        _set_memory_policy(_MODES[start.memory_policy], sum(1 << node for node in start.nodes))
    if start.cpus is None:
        return
    named = f"CPUs {format_cpulist(sorted(start.cpus))}"
    try:
        os.sched_setaffinity(0, start.cpus)
    except OSError as error:
        hint = "its cpuset may have changed meanwhile; ask again"
        raise StartError(f"{named} can't be used by this process: {error.strerror}", hint) from None


def _set_memory_policy(mode: int, mask: int) -> None:
    words = (ctypes.c_ulong * (_NODES_MAX // 64))(*_words(mask))
    # The kernel takes one bit less than it is told (get_nodes in mm/mempolicy.c).
    empty = mask == 0
    arguments = (mode, None, 0) if empty else (mode, ctypes.byref(words), _NODES_MAX + 1)
    _call(0, "set", *arguments)


def get_memory_policy() -> tuple[int, int]:
    """The calling thread's policy: its mode with flags, and its nodes as a mask. Raises StartError."""
    mode = ctypes.c_int()
    words = (ctypes.c_ulong * (_NODES_MAX // 64))()
    _call(1, "read", ctypes.byref(mode), ctypes.byref(words), _NODES_MAX, None, 0)
    return mode.value, sum(word << (64 * index) for index, word in enumerate(words))


def _words(mask: int) -> list[int]:
    return [mask >> shift & (1 << 64) - 1 for shift in range(0, _NODES_MAX, 64)]


def _call(which: int, verb: str, *arguments: object) -> None:
    numbers = _SYSCALLS.get(platform.machine())
    if numbers is None:
        raise MemoryPolicyError(
            f"no memory policy can be {verb} on {platform.machine()}", "it can on x86-64 and aarch64"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    if libc.syscall(ctypes.c_long(numbers[which]), *words) != 0:
        why = os.strerror(ctypes.get_errno())
        hint = "containers often forbid it (seccomp), and a cpuset may exclude the node"
        raise MemoryPolicyError(f"the memory policy can't be {verb}: {why}", hint)
