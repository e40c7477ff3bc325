"""Which measurements the report needs: the sides of every claim, and what is only told beside them; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toposcope.claims_flips import wanted_variants
from toposcope.claims_table import ALSO, COMPARISONS


@dataclass(frozen=True, slots=True)
class Wanted:
    """A probe's variants (all that agree with `variant`), and the claims that compare them.

    Without claims it only tells where an answer flips, or stands beside the compared ones for the reader:
    one visit is enough. Kernel probes are wanted on the pair, CPU or core sets that the planner has for them.
    """

    probe: str
    variant: Mapping[str, str]
    claims: tuple[str, ...] = ()


def wanted() -> tuple[Wanted, ...]:
    """Each once; the sides of one comparison stand beside each other, so that they are visited in turn."""
    compared: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, None]] = {}
    for comparison in COMPARISONS:
        for side in (comparison.favoured, comparison.other, comparison.control):
            for variant in side.variants if side else ():
                claims = compared.setdefault((comparison.probe, tuple(variant.items())), {})
                claims[comparison.claim] = None
    told = [(probe, variant) for source in (wanted_variants(), ALSO) for probe in source
            for variant in source[probe]]  # fmt: skip
    for probe, variant in told:
        compared.setdefault((probe, tuple(variant.items())), {})
    return tuple(Wanted(probe, dict(variant), tuple(claims)) for (probe, variant), claims in compared.items())
