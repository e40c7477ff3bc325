"""What is concluded from results, in the form in which metrics export it; values without behaviour.

Whoever judges (report, agreement, audit, the advice's self-test) hands these to the view; all are empty
until then, and stay empty where nothing can be concluded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from toposcope.measure.watch import GroupStanding
from toposcope.topology.agreement import Agreement, AgreementState
from toposcope.topology.infer import Inference

ClaimVerdict = Literal["confirmed", "refuted", "inconclusive", "not_applicable"]
CLAIM_VERDICTS: Final[tuple[ClaimVerdict, ...]] = ("confirmed", "refuted", "inconclusive", "not_applicable")
AGREEMENT_STATES: Final[tuple[AgreementState, ...]] = ("agrees", "contradicted", "unresolved")


@dataclass(frozen=True, slots=True)
class ClaimStanding:
    """One claim of the report. `ratio` with its 95 % interval (low, high), None where there is none."""

    claim: str
    verdict: ClaimVerdict
    ratio: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Judgements:
    """`agreement` by relation: does the measured machine look like the declared one? How much, why not,
    and what that rests on is in `declared`; `inference` is what the whole matrix showed.

    `drift_groups` are those that are watched, `drifted` counts those of them that are outside their baseline
    now, by relation. `self_test_regret_ratio` is how much worse the advised placement was than the best of
    those tried, as a ratio (0 = none).
    """

    claims: tuple[ClaimStanding, ...] = ()
    agreement: Mapping[str, AgreementState] = field(default_factory=dict)
    declared: Agreement | None = None
    inference: Inference | None = None
    drift_groups: tuple[GroupStanding, ...] = ()
    drifted: Mapping[str, int] = field(default_factory=dict)
    audit_findings: Mapping[str, int] = field(default_factory=dict)
    self_test_regret_ratio: float | None = None
    self_test_time_s: float | None = None
