"""What advice looks like: a ranked list of placements with reasons, or to leave things as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from toposcope.advise.facts import Mode
from toposcope.advise.models import Model
from toposcope.advise.request import Request

SCHEMA_VERSION: Final = 1
Verb = Literal["place", "leave"]
MemoryPolicy = Literal["default", "local", "bind", "interleave"]


@dataclass(frozen=True, slots=True)
class EvidenceUsed:
    """One body of evidence: `basis` is measured, sampled, declared or absent; `age_s` None is unknown."""

    what: str
    basis: str
    age_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """One way to run it. `cpus` in binding order, the best (or the first stage, or worker 0) first.

    `expected_gain_ratio` is what the scheduler's default costs over what this costs (None: not measured),
    `interval` its (low, high). `cost_ns` is the mean latency of the pairs that talk, None unless measured.
    """

    cpus: tuple[int, ...]
    nodes: tuple[int, ...]
    workers: int
    model: Model
    memory_policy: MemoryPolicy
    expected_gain_ratio: float | None
    interval: tuple[float, float] | None
    cost_ns: float | None
    confidence: float
    reasons: tuple[str, ...]
    evidence: tuple[EvidenceUsed, ...]
    commands: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The whole answer. `placements` is never empty: with `leave` it says what would come first."""

    mode: Mode
    source: str
    request: Request
    advice: Verb
    placements: tuple[Placement, ...]
    not_considered: tuple[str, ...]


def to_document(answer: Recommendation) -> dict[str, Any]:
    """The fixed JSON form (DESIGN section 5)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "mode": answer.mode,
        "source": answer.source,
        "request": asdict(answer.request),
        "advice": answer.advice,
        "placements": [_placement(placement) for placement in answer.placements],
        "not_considered": list(answer.not_considered),
    }


def _placement(placement: Placement) -> dict[str, Any]:
    document = asdict(placement)
    for name, digits in (("expected_gain_ratio", 4), ("cost_ns", 3), ("confidence", 2)):
        if document[name] is not None:
            document[name] = round(document[name], digits)
    if placement.interval is not None:
        document["interval"] = [round(bound, 4) for bound in placement.interval]
    return document
