"""/proc/cpuinfo: one paragraph a CPU on most architectures, the last resort for topology.

Formats: arch/*/kernel/{proc,setup,cpu}*.c in the kernel. x86, arm64, riscv, ppc, ia64 and loongarch begin
a CPU with `processor : N`, s390x with `processor N: key = value` or `cpu number : N`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from toposcope.topology.cpulist import MAX_ID
from toposcope.topology.model import CpuSet
from toposcope.topology.sysfs import Root

CPUINFO: Final = "proc/cpuinfo"
_S390_LINE: Final = re.compile(r"processor\s+(\d{1,5}):")
_SPARC_LINE: Final = re.compile(r"CPU(\d{1,5})")

# The keys that some phase uses; captures keep these lines only.
_USED_KEYS: Final = frozenset((
    "processor", "cpu number", "physical id", "core id", "vendor_id", "model name", "cpu model", "cpu",
    "cpu family", "hardware", "model", "uarch", "family", "microcode", "flags", "platform",
    "cpu implementer", "cpu part", "hypervisor", "hypervisor vendor",
))  # fmt: skip
_S390_ID: Final = re.compile(r"(processor\s+\d+):.*")

Record = dict[str, str]


def thin_cpuinfo(text: str) -> str:
    """Only the lines that are used, without the serial numbers that s390x has in its lines."""
    kept = []
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        name = key.strip().lower()
        if _S390_LINE.match(f"{name}:"):
            kept.append(_S390_ID.sub(r"\1:", line))
        elif colon and (
            name in _USED_KEYS or (_SPARC_LINE.fullmatch(name.upper()) and value.strip() == "online")
        ):
            kept.append(line)
    return "\n".join(kept) + "\n"


def read_records(root: Root) -> list[Record]:
    """All CPUs' paragraphs; slow on large machines, so read it only when nothing else tells."""
    return parse_cpuinfo(root.table(CPUINFO) or "")


def read_summary(root: Root) -> Record:
    """The machine-wide keys and those of the first CPU, from the file's beginning alone."""
    return summary(root.head(CPUINFO, 1 << 14) or "")


def summary(text: str) -> Record:
    """Every key that occurs, with the value of its first occurrence."""
    found: Record = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip().lower(), value.strip())
    return found


def parse_cpuinfo(text: str) -> list[Record]:
    """A dictionary for each CPU, keys in lower case; `processor` is its number as text."""
    records: list[Record] = []
    for line in text.splitlines():
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon:
            continue
        start = _started(key.lower(), value)
        if start is not None:
            records.append({"processor": start})
        elif records:
            records[-1].setdefault(key.lower(), value)
    return _merged(records)


def _started(key: str, value: str) -> str | None:
    """The CPU's number where a line begins a CPU's paragraph."""
    if key == "processor" and value.isdigit():
        return value
    if key == "cpu number" and value.isdigit():
        return value
    match = _S390_LINE.match(f"{key}:") or (_SPARC_LINE.fullmatch(key.upper()) if value == "online" else None)
    return match[1] if match else None


def _merged(records: list[Record]) -> list[Record]:
    """One record a CPU: s390x names each CPU twice."""
    by_cpu: dict[str, Record] = {}
    for record in records:
        by_cpu.setdefault(record["processor"], {}).update(record)
    return list(by_cpu.values())


def cpu_ids(records: Sequence[Record]) -> CpuSet:
    """The CPUs' numbers, ascending."""
    return tuple(sorted({int(r["processor"]) for r in records if len(r["processor"]) < 6} - {MAX_ID}))


def number(record: Record, key: str) -> int | None:
    """A decimal or hexadecimal value, or None."""
    try:
        return int(record[key], 0)
    except (KeyError, ValueError):
        return None
