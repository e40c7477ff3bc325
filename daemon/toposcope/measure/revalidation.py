"""Did a representative move? Then the cheap look at representatives is not enough; pure.

Between machines that keep still, a visit of a representative repeats what is known, and that is all one has
to ask. Where a few visits in a row agree that its value is another one (a hypervisor moved the vCPUs, a
firmware setting changed), everything else may have moved too, and is looked at again at once.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from toposcope.results import Result, Visit

# Elsewhere is where another mode would be: see modes.py for how little visits of one mode differ.
MOVED_RATIO_MIN: Final = 1.25
# A value is known from this many visits on.
KNOWN_VISITS_MIN: Final = 5
# So many visits in a row have to be elsewhere; a neighbour's load spoils one or two.
MOVED_VISITS_MIN: Final = 3
# A machine that never keeps still has modes, not news: no more than one full look in this time.
FULL_LOOK_INTERVAL_S_MIN: Final = 3600.0


class Next(enum.Enum):
    """What a visit of a representative asks for."""

    NOTHING = enum.auto()
    LOOK_AGAIN = enum.auto()  # at this one, soon
    FULL_LOOK = enum.auto()  # at everything


@dataclass(slots=True)
class _Suspect:
    known: tuple[float, ...]
    visits: int


class Revalidation:
    """Follows representatives from visit to visit. A new one is made for a new plan."""

    def __init__(self) -> None:
        self._suspects: dict[str, _Suspect] = {}
        self._last_full_look_s: float | None = None

    def observe(self, before: Result | None, visit: Visit, now_s: float) -> Next:
        """Take a visit of a representative; `before` is its result without that visit."""
        if before is None or visit.verdict != "ok" or before.primary not in visit.measures:
            return Next.NOTHING
        suspect = self._suspects.get(before.identity.id) or _Suspect(known_values(before), 0)
        if not _is_elsewhere(visit.measures[before.primary].estimate, suspect.known):
            self._suspects.pop(before.identity.id, None)
            return Next.NOTHING
        suspect.visits += 1
        self._suspects[before.identity.id] = suspect
        if suspect.visits < MOVED_VISITS_MIN:
            return Next.LOOK_AGAIN
        del self._suspects[before.identity.id]
        return self._full_look(now_s)

    def _full_look(self, now_s: float) -> Next:
        last_s = self._last_full_look_s
        if last_s is not None and now_s - last_s < FULL_LOOK_INTERVAL_S_MIN:
            return Next.NOTHING
        self._last_full_look_s = now_s
        return Next.FULL_LOOK


def known_values(result: Result) -> tuple[float, ...]:
    """The values that a result is known to have: its modes', or its one; none while it is too new."""
    if result.visits < KNOWN_VISITS_MIN:
        return ()
    if result.modes:
        return tuple(mode.value.estimate for mode in result.modes)
    return (result.measures[result.primary].estimate,) if result.primary in result.measures else ()


def _is_elsewhere(value: float, known: tuple[float, ...]) -> bool:
    return bool(known) and not any(
        each > 0 and 1 / MOVED_RATIO_MIN < value / each < MOVED_RATIO_MIN for each in known
    )
