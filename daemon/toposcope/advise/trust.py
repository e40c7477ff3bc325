"""How far advice may be trusted, as one number from 0 to 1 and as sentences.

The factors are judgements, not measurements; what matters is their order: measured before sampled before
declared, fresh before old, stable before unknown before unstable.
"""

from __future__ import annotations

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


def trust(evidence: Evidence, costs: PairCosts | None, others: Sequence[float]) -> Trust:
    """From the basis of the pair costs (None: the advice rests on none), stability, age and `others`."""
    confidence, reasons = _of_basis(costs)
    confidence *= _STABILITY[evidence.placement]
    if evidence.placement == "unstable":
        reasons.append(
            "the CPUs' places are unstable: a hypervisor or a change moved them between visits, so what was "
            "measured may not hold in a minute"
        )
    if evidence.age_s is None:
        confidence *= _UNKNOWN_AGE
    elif evidence.age_s > FRESH_AGE_S:
        confidence *= max(_LEAST_AGE, 0.5 ** ((evidence.age_s - FRESH_AGE_S) / _HALF_LIFE_S))
        reasons.append(f"the evidence is {evidence.age_s / 86400:.1f} days old; measure again")
    for factor in others:
        confidence *= factor
    return Trust(confidence, tuple(reasons))


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
