"""The kernel's two notations for sets of CPUs or nodes: lists (`0-3,8`) and masks (`00000000,0000010f`).

Formats: `%*pbl` and `%*pb` in the kernel's Documentation/core-api/printk-formats.rst and
Documentation/admin-guide/cputopology.rst.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from typing import Final

from toposcope.topology.model import CpuSet

# No Linux has been built for more CPUs than 8192, nor for more nodes than 1024.
MAX_ID: Final = 65535

_RANGE: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9})/(\d{1,9}))?)?")
_MASK: Final = re.compile(r"[0-9a-fA-F]+(?:,[0-9a-fA-F]{1,8})*")
_NOTHING: Final = ("", "(null)")  # old kernels print (null) for a mask that was never allocated


def parse_cpulist(text: str) -> CpuSet:
    """The numbers of a list such as `0-3,8` or, as boot parameters have it, `0-31:2/8`; ascending.

    Raises ValueError with one sentence where the text is no such list.
    """
    text = text.strip().rstrip("\x00")
    if text in _NOTHING:
        return ()
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{text[:40]!r} is no list of CPUs")
        first, last = int(match[1]), int(match[2] or match[1])
        used, group = int(match[3] or 1), int(match[4] or 1)
        if last < first or last > MAX_ID or not 0 < used <= group:
            raise ValueError(f"{part[:40]!r} is no range of CPUs")
        if group == 1:
            numbers.update(range(first, last + 1))
        else:
            numbers.update(cpu for cpu in range(first, last + 1) if (cpu - first) % group < used)
    return tuple(sorted(numbers))


def parse_mask(text: str) -> CpuSet:
    """The numbers of the bits set in a mask: hexadecimal groups of 32 bits, the highest first; ascending.

    Raises ValueError with one sentence where the text is no such mask.
    """
    # Most of a wide mask is zeros in front: they go first, the work is then for what is set.
    rest = text.lstrip("0, \n").rstrip(" \t\r\n\0")
    if rest in _NOTHING:
        return ()
    if _MASK.fullmatch(rest) is None:
        raise ValueError(f"{rest[:60]!r} is no mask of CPUs")
    head, *groups = rest.split(",")
    bits = int(head + "".join([group if len(group) == 8 else group.zfill(8) for group in groups]), 16)
    if bits.bit_length() > MAX_ID + 1:
        raise ValueError(f"a mask of {bits.bit_length()} bits is too long")
    return _numbers_of(bits)


def _numbers_of(bits: int) -> CpuSet:
    if bits & (bits - 1) == 0:  # a CPU alone, the most frequent set of all
        return (bits.bit_length() - 1,)
    numbers = []
    for base, word in enumerate(_words(bits)):
        while word:
            low = word & -word
            numbers.append(base * 64 + low.bit_length() - 1)
            word ^= low  # noqa: PLW2901 – the bits of this word are taken off one by one
    return tuple(numbers)


def _words(bits: int) -> Iterable[int]:
    """64 bits at a time: taking single bits off a wide integer would cost its width for each."""
    if bits < 1 << 64:
        return (bits,)
    octets = bits.to_bytes((bits.bit_length() + 63) // 64 * 8, "little")
    return struct.unpack(f"<{len(octets) // 8}Q", octets)


def format_cpulist(cpus: Iterable[int]) -> str:
    """The shortest list of ranges, as the kernel prints it: `0-3,8`; empty for no CPUs."""
    ordered = sorted(set(cpus))
    ranges: list[list[int]] = []
    for cpu in ordered:
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
