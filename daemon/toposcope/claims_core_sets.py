"""Which compact and spread core sets of one size to hold against each other; pure.

On a machine with several packages these are CPUs of one package against CPUs of several; elsewhere the widest
level at which two sets of equal size differ (DESIGN section 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.topology.model import RELATIONS, Machine

NO_TWO_CORE_SETS: Final = "no two core sets of one size here differ in how far apart their CPUs are"


@dataclass(frozen=True, slots=True)
class Apart:
    """Two core sets of `size` CPUs; `near` and `far` say in words what each lies within."""

    size: int
    near: str
    far: str


def farthest_apart(
    machine: Machine, members: Mapping[str, Sequence[int]], sizes: Sequence[int]
) -> Apart | None:
    """The sizes' best comparison: the widest spread set, then the narrowest compact one, then most CPUs.

    `members` has the CPUs of `compact:N` and `spread:N`.
    """
    found: list[tuple[int, int, int]] = []
    for size in sizes:
        near = _widest(machine, members.get(f"compact:{size}", ()))
        far = _widest(machine, members.get(f"spread:{size}", ()))
        if near is not None and far is not None and far > near:
            found.append((far, -near, size))
    if not found:
        return None
    far, near, size = max(found)
    return Apart(size, _words(-near), _words(far))


def _widest(machine: Machine, cpus: Sequence[int]) -> int | None:
    """The widest relation of a CPU of the set to its first one, as an index of RELATIONS."""
    return max((RELATIONS.index(machine.relation(cpus[0], cpu)) for cpu in cpus[1:]), default=None)


def _words(level: int) -> str:
    name = RELATIONS[level]
    return "across packages" if name == "cross_package" else f"within one {name}"
