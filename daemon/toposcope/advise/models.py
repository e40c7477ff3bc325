"""Threads, processes or coroutines: chosen from what the claims' measurements found here, never from belief
alone.

Where a claim was not tested on this host the text-book answer is given, marked as such, with low
confidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from toposcope.advise.facts import Evidence
from toposcope.advise.request import Request
from toposcope.judgements import ClaimStanding

Model = Literal[
    "threads",
    "processes",
    "process_per_l3_domain",
    "process_per_node",
    "coroutines",
    "coroutines_plus_native",
]

_UNTESTED: Final = 0.6  # confidence in a text-book answer, relative to a measured one


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model, why, what was not measured for it, and how far to trust it (1 = measured here)."""

    model: Model
    reasons: tuple[str, ...]
    not_measured: tuple[str, ...] = ()
    confidence: float = 1.0

    def instead(self, model: Model, *reasons: str) -> ModelChoice:
        """Another model, for further reasons."""
        return replace(self, model=model, reasons=(*self.reasons, *reasons))


def choose_model(request: Request, evidence: Evidence, nodes_used: int, domains_used: int) -> ModelChoice:
    """The model for workers on so many memory nodes and cache domains."""
    if request.model != "auto":
        return ModelChoice(request.model, (f"{request.model}, as you say that it has",))
    if request.workers == 1 and request.bound != "io":
        return ModelChoice("threads", ("a single worker: one thread is all there is to choose",))
    if request.runtime == "python":
        return _for_python(request, evidence)
    if request.bound == "io":
        usual = "an event loop is the usual choice for waiting for input and output"
        unknown = "io_coroutines_beat_threads is about Python and says nothing of native programs"
        return ModelChoice("coroutines", (f"{usual}; {unknown}",), confidence=_UNTESTED)
    if request.sharing == "isolated" and not request.communication:
        return _for_isolated(request, evidence, nodes_used, domains_used)
    claim = "thread_communication_faster" if request.sharing == "pipeline" else "cooperative_prefers_threads"
    return _by_claim(evidence, claim, "threads", "processes", "work on the same data")


def _for_isolated(request: Request, evidence: Evidence, nodes_used: int, domains_used: int) -> ModelChoice:
    choice = _by_claim(
        evidence, "isolated_suits_processes", "processes", "threads", "work that shares nothing"
    )
    if request.bound == "memory" and 1 < nodes_used < request.workers:
        why = f"one process on each of {nodes_used} nodes keeps every page local, its threads share the rest"
        return choice.instead("process_per_node", why)
    if choice.model == "threads" and 1 < domains_used < request.workers:
        why = f"but {domains_used} cache domains share no cache: one process on each"
        return choice.instead("process_per_l3_domain", why)
    return choice


def _for_python(request: Request, evidence: Evidence) -> ModelChoice:
    if request.bound == "io":
        what = "waiting for input and output in Python"
        return _by_claim(evidence, "io_coroutines_beat_threads", "coroutines", "threads", what)
    gil = _by_claim(evidence, "gil_threads_not_parallel", "processes", "threads", "computing in Python")
    native = evidence.claim("native_code_escapes_gil")
    wants_sharing = request.sharing != "isolated" or bool(request.communication)
    if gil.model == "processes" and wants_sharing and native is not None and native.verdict == "confirmed":
        why = "the workers share data, which processes would copy: compute in native code that frees the lock"
        return gil.instead("coroutines_plus_native", _sentence(native), why)
    return gil


def _by_claim(evidence: Evidence, claim: str, confirmed: Model, refuted: Model, what: str) -> ModelChoice:
    result = evidence.claim(claim)
    if result is not None and result.verdict == "confirmed":
        return ModelChoice(confirmed, (_sentence(result),))
    if result is not None and result.verdict == "refuted":
        return ModelChoice(refuted, (_sentence(result),))
    if result is not None and result.verdict == "inconclusive":
        better = refuted if result.ratio is not None and result.ratio < 1 else confirmed
        why = f"{_sentence(result)}; {better} came out no worse, but another measurement may say otherwise"
        return ModelChoice(better, (why,), confidence=_UNTESTED)
    return ModelChoice(confirmed, (
        f"{confirmed} is the usual choice for {what}; {claim} was not measured on this host",),
        (f"{claim} (run `toposcope report` on the host)",), _UNTESTED)  # fmt: skip


def _sentence(result: ClaimStanding) -> str:
    if result.ratio is None:
        return f"{result.claim} is {result.verdict} on this host"
    within = f" ({result.interval[0]:.3g} to {result.interval[1]:.3g})" if result.interval else ""
    return f"{result.claim} is {result.verdict} on this host: ratio {result.ratio:.3g}{within}"
