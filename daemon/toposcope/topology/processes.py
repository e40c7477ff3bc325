"""Where a process's threads run and where its memory lies, read from /proc through a Root.

Sources: proc_pid_stat(5) (fields 14, 15 and 39), proc_pid_status(5), and numa_maps in
Documentation/filesystems/proc.rst and proc_pid_numa_maps(5), which needs the right to trace the process.
Reading changes nothing in the process; numa_maps walks its page tables, about 3 ms a GiB of 4-KiB pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toposcope.topology.cpulist import parse_cpulist
from toposcope.topology.hostload import TICKS_PER_S
from toposcope.topology.model import CpuSet
from toposcope.topology.sysfs import Root

THREADS_MAX: Final = 1024
_PAGE_BYTES: Final = 4096  # where a line names no size of its own


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: the CPU that it ran on last, and the CPU time that it has had (ticks of 10 ms)."""

    tid: int
    name: str
    cpu: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Process:
    """A process at one moment. None stands for what can't be seen, and `unseen` says why.

    `allowed_cpus` is the main thread's affinity, within its cpuset.
    """

    pid: int
    name: str
    threads: tuple[Thread, ...]
    allowed_cpus: CpuSet | None
    resident_bytes: int | None
    unseen: tuple[str, ...] = ()


def read_process(root: Root, pid: int) -> Process | None:
    """A process without its memory's places, THREADS_MAX threads at most; None where there is none."""
    main = parse_stat(root.table(f"proc/{pid}/stat") or "")
    if main is None:
        return None
    unseen = []
    tids = [int(name) for name in root.names(f"proc/{pid}/task") if name.isascii() and name.isdigit()]
    if len(tids) > THREADS_MAX:
        unseen.append(f"threads: {len(tids)} of them, the first {THREADS_MAX} were looked at")
    threads = [
        parse_stat(root.table(f"proc/{pid}/task/{tid}/stat") or "") for tid in sorted(tids)[:THREADS_MAX]
    ]
    status = parse_status(root.table(f"proc/{pid}/status") or "")
    return Process(
        pid,
        main.name,
        tuple(thread for thread in threads if thread is not None),
        _cpus(status.get("Cpus_allowed_list")),
        _kibibytes(status.get("VmRSS")),
        tuple(unseen),
    )


def read_memory_bytes_by_node(root: Root, pid: int) -> dict[int, int] | str:
    """Resident bytes on each node, or a sentence that says why they can't be seen."""
    path = f"proc/{pid}/numa_maps"
    root.begin()
    text = root.table(path)
    if text is not None:
        return parse_numa_maps(text)
    for doubt in root.doubts:
        if doubt.startswith(path):
            return f"memory per node: {doubt.removeprefix(path).lstrip(': ')}"
    return "memory per node: this kernel doesn't tell (no numa_maps)"


def parse_stat(text: str) -> Thread | None:
    """`7 (a name) S 1 …`: the name may hold blanks and brackets, so the last bracket counts."""
    head, bracket, tail = text.rpartition(")")
    number, _, name = head.partition(" (")
    fields = tail.split()
    if not bracket or len(fields) < 37 or not _is_number(number):
        return None
    user_ticks, system_ticks, cpu = fields[11], fields[12], fields[36]
    if not all(map(_is_number, (user_ticks, system_ticks, cpu))):
        return None
    return Thread(int(number), name, int(cpu), (int(user_ticks) + int(system_ticks)) / TICKS_PER_S)


def parse_status(text: str) -> dict[str, str]:
    """`Name:<tab>value` lines."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon}


def parse_numa_maps(text: str) -> dict[int, int]:
    """`ADDRESS POLICY … N0=12 N1=3 kernelpagesize_kB=4`: pages of that size on each node, summed in bytes."""
    total: dict[int, int] = {}
    for line in text.splitlines():
        words = [word.partition("=") for word in line.split()[2:]]
        sizes = [
            int(value) << 10 for name, _, value in words if name == "kernelpagesize_kB" and _is_number(value)
        ]
        page_bytes = sizes[0] if sizes else _PAGE_BYTES
        for name, _, value in words:
            if name[:1] == "N" and _is_number(name[1:]) and _is_number(value):
                node = int(name[1:])
                total[node] = total.get(node, 0) + int(value) * page_bytes
    return dict(sorted(total.items()))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def _cpus(text: str | None) -> CpuSet | None:
    try:
        return None if text is None else tuple(parse_cpulist(text))
    except ValueError:
        return None


def _kibibytes(text: str | None) -> int | None:
    number = (text or "").removesuffix(" kB")
    return int(number) << 10 if _is_number(number) else None
