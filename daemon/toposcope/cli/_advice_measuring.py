"""`recommend --measure`: measure what the advice lacks, and no more, until nothing could change it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

import toposcope_probes
from toposcope import report as reports
from toposcope.advise import one_cpu
from toposcope.advise.answer import Recommendation
from toposcope.advise.facts import Evidence
from toposcope.advise.models import choose_model
from toposcope.advise.next_pairs import next_pairs
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.choices import find_interpreters
from toposcope.cli import _evidence, _measuring, _source
from toposcope.evidence import evidence_of
from toposcope.measure.plan import MATRIX_PROBE, Task, identify, plan, variants
from toposcope.report import Visited
from toposcope.results import Target
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.model import Machine
from toposcope.view import View, matrix_of

_MEMORY_PROBES: Final = ("memory_latency", "memory_bandwidth")
_PAIRS_A_ROUND: Final = 500  # about a second
_PAIR_ROUNDS: Final = 8
_ONE_CPU_VISITS: Final = 6  # so many make an interval of the median over visits, the narrowest there is
_BUDGET_S: Final = 60.0


def measured(request: Request, url: str | None, config_file: Path | None) -> Evidence:
    """What a daemon or the own store knows, and what was still missing for this request, measured now.

    Ctrl-C ends the measuring early: the advice then rests on what there is. Raises UsageError for an
    impossible request, or a daemon of another machine, before anything is measured.
    """
    known = _evidence.here(url, config_file)
    lacking = _lacking_claims(recommend(request, known))
    settings = _source.settings_from(config_file)
    interpreters = asyncio.run(find_interpreters(settings)) if request.runtime == "python" else ()
    steps = _Steps(request, known, lacking, interpreters)
    _, interrupted = _measuring.visit_rounds(known.machine, steps.rounds, settings, _BUDGET_S)
    if interrupted:
        click.echo("interrupted: the advice rests on what was measured until then", err=True)
    return steps.evidence()


def _lacking_claims(answer: Recommendation) -> frozenset[str]:
    used = answer.placements[0].evidence
    return frozenset(
        each.what.removeprefix("claim ").split()[0]
        for each in used
        if each.basis == "absent" and each.what.startswith("claim ")
    )


class _Steps:
    """The rounds, each decided from what the ones before brought."""

    def __init__(
        self, request: Request, known: Evidence, claims: frozenset[str], interpreters: Sequence[str]
    ) -> None:
        self._request = request
        self._known = known
        self._claims = claims
        self._interpreters = interpreters
        self._visited: Callable[[], Visited] = list

    def rounds(self, visited: Callable[[], Visited]) -> Iterator[list[Task]]:
        """Pairs that may decide, memory where it counts, then the claims that the model rests on."""
        self._visited = visited
        for _ in range(_PAIR_ROUNDS):
            pairs = next_pairs(self._request, self.evidence(), _PAIRS_A_ROUND)
            if not pairs:
                break
            yield [_pair_task(self._known.machine, pair) for pair in pairs]
        cpus = _measuring.choose_cpus(self._known.machine, None)
        if self._request.bound == "memory" and self._known.node_costs is None:
            choices = [_measuring.choice(spec) for spec in _measuring.find_specs(_MEMORY_PROBES)]
            yield list(plan(self._known.machine, choices, cpus=cpus))
        if self._lacks_one_cpu:
            choices = [_measuring.choice(spec) for spec in _measuring.find_specs((one_cpu.PROBE,))]
            model = choose_model(self._request, self._known, 1, 1).model
            planned = plan(self._known.machine, choices, cpus=cpus, interpreters=self._interpreters)
            tasks = [task for task in planned if one_cpu.MODELS[task.identity.variant["model"]] == model]
            for _ in range(_ONE_CPU_VISITS):
                yield tasks
        if self._claims:
            yield from reports.rounds(
                self._known.machine, cpus=cpus, interpreters=self._interpreters, visited=visited,
                only=self._claims,
            )  # fmt: skip

    @property
    def _lacks_one_cpu(self) -> bool:
        request, known = self._request, self._known
        model = choose_model(request, known, 1, 1).model
        return one_cpu.is_question(request, model) and one_cpu.least_gain(known, model) is None

    def evidence(self) -> Evidence:
        """What was known before and what was visited since: a pair's new value wins."""
        view = View(self._known.machine, fingerprint(self._known.machine))
        for identity, visits in self._visited():
            spec = toposcope_probes.find(identity.probe)
            assert spec is not None, "only our own probes were planned"
            view.load(identity, spec.measures[0].name, visits)
        fresh = evidence_of(view, time.time(), "measurement")
        return _merged(self._known, fresh)


def _merged(known: Evidence, fresh: Evidence) -> Evidence:
    cells = {}
    cpus = known.machine.online_cpus
    for one, other in itertools.permutations(cpus, 2):
        values = [
            value for source in (fresh.matrix, known.matrix)
            if source is not None and (value := source.value(one, other)) is not None
        ]  # fmt: skip
        if values:
            cells[one, other] = values[0]
    judged = {claim.claim: claim for claim in known.claims}
    judged |= {claim.claim: claim for claim in fresh.claims if claim.verdict != "not_applicable"}
    return replace(
        known,
        matrix=matrix_of(cpus, cells) if cells else None,
        matrix_error_ratio=fresh.matrix_error_ratio or known.matrix_error_ratio,
        node_costs=fresh.node_costs or known.node_costs,
        claims=tuple(judged.values()),
        one_cpu_gains=fresh.one_cpu_gains or known.one_cpu_gains,
        source=f"measurement and {known.source}" if known.matrix else "measurement",
        age_s=known.age_s if known.matrix else fresh.age_s,
        placement=fresh.placement if fresh.placement != "unknown" else known.placement,
    )


def _pair_task(machine: Machine, pair: tuple[int, int]) -> Task:
    spec = toposcope_probes.find(MATRIX_PROBE)
    assert spec is not None, "the matrix's probe is part of the package"
    variant = next(each for each in variants(machine, spec) if each.get("model", "thread") == "thread")
    return Task(_measuring.choice(spec), identify(machine, spec, Target(pair), variant), 2)
