"""What is known now: the machine, every result, and counts of what was done. Kept in memory, read by all.

The daemon's loop is its only writer; HTTP, metrics and advice only read. `version` grows with every change,
so that whoever renders can keep what was rendered.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from toposcope import placement, replay
from toposcope.groups import DomainPair, Group, GroupIndex
from toposcope.judgements import Judgements
from toposcope.matrix import Matrix
from toposcope.measure import validity
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.placement import Placement, Standing
from toposcope.results import Identity, Result, Visit
from toposcope.topology.model import Machine

Source = Literal["live", "replay"]

# A result is judged by its newest visits: 64 at most (`validity`), those of two weeks, or four where these
# are fewer. Else the thousands of pairs of a large matrix, visited once a week, would take 0.7 GiB in a year.
_VISITS_OLD_MAX: Final = 4
_OLD_S: Final = 14 * 86_400.0


@dataclass(slots=True)
class ProbeCounts:
    """What a probe did since the daemon's start."""

    visits_by_verdict: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    batches_dropped: dict[str, int] = field(default_factory=dict)
    batches_kept: int = 0
    duration_s: float = 0.0
    cpu_s: float = 0.0
    last_success_time_s: float | None = None

    def copy(self) -> ProbeCounts:
        """The counts as they are now."""
        return replace(
            self,
            visits_by_verdict=dict(self.visits_by_verdict),
            faults=dict(self.faults),
            batches_dropped=dict(self.batches_dropped),
        )


class View:
    """The read model of one machine."""

    def __init__(
        self, machine: Machine, fingerprint: str, *, mode: Source = "live", matrix: Matrix | None = None
    ) -> None:
        self.machine = machine
        self.fingerprint = fingerprint
        self.mode: Source = mode
        self.counts: dict[str, ProbeCounts] = {}
        self.status: dict[str, Any] = {}
        self.judgements = Judgements()
        self.audit: dict[str, Any] = {"enabled": False, "findings": []}
        self.event_counts: dict[str, int] = {}
        self.version = 0
        self._results: dict[str, Result] = {}
        self._visits: dict[str, deque[Visit]] = {}
        self._replayed = matrix
        self._online = frozenset(machine.online_cpus)
        self._index: GroupIndex | None = None  # made when it is first asked for

    def load(self, identity: Identity, measure: str, visits: Sequence[Visit]) -> None:
        """Take over what the store holds of one result."""
        kept = deque(visits, maxlen=validity.WINDOW_VISITS_MAX)
        _forget_old(kept)
        self._visits[identity.id] = kept
        self.take(validity.judge_result(identity, measure, tuple(kept)))

    def add(self, identity: Identity, measure: str, visit: Visit) -> Result:
        """Add a visit and judge its target anew; returns the new result."""
        kept = self._visits.setdefault(identity.id, deque(maxlen=validity.WINDOW_VISITS_MAX))
        kept.append(visit)
        _forget_old(kept)
        result = validity.judge_result(identity, measure, tuple(kept))
        self.take(result)
        return result

    def take(self, result: Result) -> None:
        """Show a result."""
        self._results[result.identity.id] = result
        if self._index is not None:
            self._put_into(self._index, result)
        self.version += 1

    def count(self, probe: str, visit: Visit, *, cpu_s: float, fault: str) -> None:
        """Count a visit for the metrics about the daemon's own work."""
        counts = self.counts.setdefault(probe, ProbeCounts())
        _increase(counts.visits_by_verdict, visit.verdict)
        if fault:
            _increase(counts.faults, fault)
        for reason, batches in visit.batches_dropped.items():
            _increase(counts.batches_dropped, reason, batches)
        counts.batches_kept += visit.batches_kept
        counts.duration_s += visit.duration_s
        counts.cpu_s += cpu_s
        if visit.verdict == "ok":
            counts.last_success_time_s = visit.time_s
        self.version += 1

    def set_machine(self, machine: Machine, fingerprint: str) -> None:
        """The topology changed: results about CPUs that are gone stay, and say so."""
        self.machine = machine
        self.fingerprint = fingerprint
        self._online = frozenset(machine.online_cpus)
        self._index = None
        self.version += 1

    def forget_results(self) -> None:
        """Another machine: what was measured stays in the store and is shown no more."""
        self._results.clear()
        self._visits.clear()
        self._index = None
        self.version += 1

    def set_status(self, status: Mapping[str, Any]) -> None:
        """What the daemon does now, as `status` shows it."""
        self.status = dict(status)
        self.version += 1

    def set_judgements(self, judgements: Judgements) -> None:
        """What claims, agreement, audit and self-test say now."""
        self.judgements = judgements
        self.version += 1

    def set_audit(self, document: Mapping[str, Any]) -> None:
        """What the audit found last, as `/api/v1/audit` shows it; its `counts` are for the metrics."""
        self.audit = dict(document)
        self.set_judgements(replace(self.judgements, audit_findings=document["counts"]))

    def count_event(self, kind: str) -> None:
        """Count an event for the metrics; the store keeps what it said."""
        _increase(self.event_counts, kind)
        self.version += 1

    @property
    def results(self) -> tuple[Result, ...]:
        """Every result, in the order in which they first appeared."""
        return tuple(self._results.values())

    def result(self, result_id: str) -> Result | None:
        """One result by its id."""
        return self._results.get(result_id)

    def visits(self, result_id: str) -> tuple[Visit, ...]:
        """The newest visits of a result, oldest first."""
        return tuple(self._visits.get(result_id, ()))

    def stale_reason(self, result: Result) -> str:
        """Why a result no longer describes the machine, or ""."""
        gone = [cpu for cpu in result.identity.target.cpus if cpu not in self._online]
        return f"CPU {', '.join(map(str, gone))} is offline" if gone else ""

    @property
    def placement(self) -> Placement:
        """Whether CPUs stay where they are: decided by what the pairs' visits show."""
        return self.placement_standing.placement

    @property
    def placement_standing(self) -> Standing:
        """The same with what it rests on: the pairs that move, their modes, the relations contradicted."""
        return placement.judge(self._results.values())

    def groups(self) -> tuple[Group, ...]:
        """Results by probe, variant and relation (core set, node pair, interpreter), for metrics."""
        if self._replayed is not None:
            return self._summary.groups
        return self._fresh_index().groups()

    def domain_pairs(self) -> tuple[DomainPair, ...]:
        """Results about pairs of CPUs by the L3 domains and by the nodes that the two CPUs lie in."""
        if self._replayed is not None:
            return self._summary.domain_pairs
        return self._fresh_index().domain_pairs()

    def pool(self) -> None:
        """Gather all results now, before anybody waits for groups: of a large machine it takes 0.1 s."""
        self.groups()
        self.domain_pairs()

    def _fresh_index(self) -> GroupIndex:
        if self._index is None:
            self._index = GroupIndex(self.machine)
            for result in self._results.values():
                self._put_into(self._index, result)
        return self._index

    def _put_into(self, index: GroupIndex, result: Result) -> None:
        if self._online.issuperset(result.identity.target.cpus):
            index.put(result)

    @functools.cached_property
    def _summary(self) -> replay.Summary:
        assert self._replayed is not None
        return replay.summarise(self.machine, self._replayed)

    def matrix(self, probe: str = MATRIX_PROBE, variant: Mapping[str, str] | None = None) -> Matrix:
        """The CPU × CPU matrix of a pair probe's estimates; empty cells were not measured.

        Cells hold `ok` and `noisy` estimates only. In replay it is the matrix that was given.
        """
        if self._replayed is not None:
            return self._replayed
        cells: dict[tuple[int, int], float] = {}
        for result in self._results.values():
            identity = result.identity
            wanted = identity.probe == probe and len(identity.target.cpus) == 2
            if wanted and _matches(identity.variant, variant) and result.primary in result.measures:
                first, second = identity.target.cpus
                value = result.measures[result.primary].estimate
                cells.setdefault((first, second), value)
        reverse = {(second, first): value for (first, second), value in cells.items()}
        return matrix_of(self.machine.online_cpus, reverse | cells)


def matrix_of(cpus: Iterable[int], cells: Mapping[tuple[int, int], float]) -> Matrix:
    """A matrix over `cpus` (ascending ids) from its known cells."""
    ids = tuple(cpus)
    return Matrix(ids, tuple(tuple(cells.get((row, column)) for column in ids) for row in ids))


def _matches(variant: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return all(variant.get(key) == value for key, value in (wanted or {"model": "thread"}).items())


def _forget_old(visits: deque[Visit]) -> None:
    """Oldest first: drop those that are too old, but for the newest few."""
    while len(visits) > _VISITS_OLD_MAX and visits[0].time_s < visits[-1].time_s - _OLD_S:
        visits.popleft()


def _increase(counts: dict[str, int], key: str, by: int = 1) -> None:
    counts[key] = counts.get(key, 0) + by
