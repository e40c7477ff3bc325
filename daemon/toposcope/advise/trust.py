"""How far advice may be trusted, as one number from 0 to 1 and as sentences.

The factors are judgements, not measurements; what matters is their order: measured before sampled before
declared, fresh before old, stable before unknown before unstable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.advise.costs import PairCosts
from toposcope.advise.facts import Evidence

FRESH_AGE_S: Final = 24 * 3600.0
_HALF_LIFE_S: Final = 7 * 24 * 3600.0
_STABILITY: Final = {"stable": 1.0, "unknown": 0.9, "unstable": 0.3}
_UNKNOWN_AGE: Final = 0.95
_LEAST_AGE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Trust:
    """`confidence` and the sentences that explain it."""

    confidence: float
    reasons: tuple[str, ...]


def trust_in_measured_gain(age_s: float | None, others: Sequence[float]) -> Trust:
    """In a gain that was itself measured: it rests on no pair, so unstable places don't touch it."""
    confidence: float = 0.9 * _of_age(age_s) * math.prod(others)
    return Trust(confidence, _if_old(age_s))


def trust(evidence: Evidence, costs: PairCosts | None, others: Sequence[float]) -> Trust:
    """From the basis of the pair costs (None: the advice rests on none), stability, age and `others`."""
    confidence, reasons = _of_basis(costs)
    confidence *= _STABILITY[evidence.placement]
    if evidence.placement == "unstable":
        reasons.append(
            "the CPUs' places are unstable: a hypervisor or a change moved them between visits, so what was "
            "measured may not hold in a minute"
        )
    confidence *= _of_age(evidence.age_s) * math.prod(others)
    return Trust(confidence, (*reasons, *_if_old(evidence.age_s)))


def _of_age(age_s: float | None) -> float:
    if age_s is None:
        return _UNKNOWN_AGE
    if age_s <= FRESH_AGE_S:
        return 1.0
    return max(_LEAST_AGE, math.pow(0.5, (age_s - FRESH_AGE_S) / _HALF_LIFE_S))


def _if_old(age_s: float | None) -> tuple[str, ...]:
    if age_s is None or age_s <= FRESH_AGE_S:
        return ()
    return (f"the evidence is {age_s / 86400:.1f} days old; measure again",)


def _of_basis(costs: PairCosts | None) -> tuple[float, list[str]]:
    if costs is None:
        return 0.5, []
    reasons = []
    by_basis = {"measured": 0.9, "sampled": 0.35 + 0.5 * costs.measured_ratio, "declared": 0.15}
    confidence = by_basis[costs.basis]
    if costs.unusable_pairs:
        confidence *= 0.5
        reasons.append(
            f"{costs.unusable_pairs} pairs read zero or less: the clock was too coarse, they are not used"
        )
    if costs.unmeasured_relations:
        confidence *= 0.8
        reasons.append(f"no pair was measured for: {', '.join(costs.unmeasured_relations)}")
    return confidence, reasons
