"""The user's own command under each candidate placement: which ones to try, and running them in turns."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from toposcope import launch
from toposcope.advise.facts import Evidence
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request, Sharing, Smt
from toposcope.errors import ToposcopeError, UsageError
from toposcope.launch import Start, inherited, start_of
from toposcope.measure import runner
from toposcope.measure.lock import measuring_lock
from toposcope.measure.tuning import Tuning

TRIALS_MAX: Final = 6
UNCHANGED_NAME: Final = "unchanged"
# What the other placements are called, and the request that makes them: workers near to each other or apart.
_OTHERS: Final[tuple[tuple[str, Sharing, Smt], ...]] = (
    ("near", "shared", "avoid"),
    ("near, shared cores", "shared", "allow"),
    ("apart", "isolated", "avoid"),
    ("apart, shared cores", "isolated", "allow"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to run the command."""

    name: str
    start: Start


@dataclass(frozen=True, slots=True)
class Metric:
    """What is compared: wall time, or the number that `pattern` finds last in the command's output."""

    pattern: re.Pattern[str] | None = None

    @property
    def unit(self) -> str:
        """Seconds, or whatever the command counts in."""
        return "s" if self.pattern is None else ""


def parse_metric(text: str) -> Metric:
    """`wall`, or a regular expression with one group around the number. Raises UsageError."""
    if text == "wall":
        return Metric()
    hint = r"for example --metric 'took ([0-9.]+) ms', or --metric wall"
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--metric {text[:40]!r} is no regular expression: {error}", hint) from None
    if pattern.groups != 1:
        raise UsageError(f"--metric {text[:40]!r} has {pattern.groups} groups, not one", hint)
    return Metric(pattern)


def trials_of(
    request: Request, evidence: Evidence, environment: Mapping[str, str], own_cpus: frozenset[int]
) -> list[Trial]:
    """The command as it is, the advised placements, and others near and apart; each set of CPUs once.

    `own_cpus` is the affinity that the command has anyway. Raises UsageError for an impossible request.
    """
    advised = recommend(request, evidence).placements
    found = [("advised" if rank == 1 else f"advised {rank}", one) for rank, one in enumerate(advised, 1)]
    for name, sharing, smt in _OTHERS:
        other = replace(request, sharing=sharing, smt=smt, communication=(), exact=True)
        try:
            found.append((name, recommend(other, evidence).placements[0]))
        except UsageError:
            continue  # too few cores for this one
    trials = [Trial(UNCHANGED_NAME, launch.UNCHANGED)]
    seen = set()
    for name, placement in found:
        start = start_of(placement, environment)
        key = (frozenset(placement.cpus), start.memory_policy, frozenset(start.nodes))
        changes_nothing = key == (own_cpus, "default", frozenset()) and not start.environment
        if key not in seen and not changes_nothing and len(trials) < TRIALS_MAX:
            trials.append(Trial(name, start))
        seen.add(key)
    return trials


async def run_trials(
    command: Sequence[str],
    trials: Sequence[Trial],
    tuning: Tuning,
    metric: Metric,
    *,
    deadline_s: float,
    on_run: Callable[[str, float | None], None],
    on_wait: Callable[[], None],
) -> None:
    """One run to warm up, then round by round until `tuning` has enough; `on_run` hears of every run.

    Raises ToposcopeError where a run fails, which ends the trials: what is left would compare nothing.
    """
    starts = {trial.name: trial.start for trial in trials}
    await run_once(command, launch.UNCHANGED, metric, deadline_s, on_wait)
    on_run("", None)
    while order := tuning.next_round():
        for name in order:
            value = await run_once(command, starts[name], metric, deadline_s, on_wait)
            tuning.record(name, value)
            on_run(name, value)


async def run_once(
    command: Sequence[str], start: Start, metric: Metric, deadline_s: float, on_wait: Callable[[], None]
) -> float:
    """What one run costs: seconds, or the metric's number. Raises ToposcopeError where it fails."""
    path = shutil.which(command[0])
    if path is None:
        raise UsageError(f"{command[0]}: command not found")
    search = _Search(metric.pattern)
    async with measuring_lock(on_wait):
        outcome = await runner.run(
            [path, *command[1:]],
            deadline_s=deadline_s,
            on_line=None if metric.pattern is None else search.take,
            environment=start.environment,
            inherits_environment=True,
            around_start=inherited(start),
        )
    if outcome.fault:
        last = outcome.complaint.splitlines()[-1][:200] if outcome.complaint else "it said nothing on stderr"
        raise ToposcopeError(
            f"{command[0]} failed ({outcome.fault}): {last}", _hint(outcome.fault, deadline_s)
        )
    if metric.pattern is None:
        return outcome.duration_s
    if not search.has_found:
        for line in outcome.complaint.splitlines():
            search.take(line.encode())
    return search.number(command[0])


def _hint(fault: str, deadline_s: float) -> str:
    if fault == "deadline":
        return f"a run may take {deadline_s:g} s; give a shorter task, or raise --deadline-s"
    if fault == "too_much_output":
        return "send the output that the metric isn't in to a file or to /dev/null"
    return "tune compares runs that succeed (exit status 0)"


class _Search:
    """The last number that the pattern finds in lines of output."""

    def __init__(self, pattern: re.Pattern[str] | None) -> None:
        self._pattern = pattern
        self._text: str | None = None

    @property
    def has_found(self) -> bool:
        return self._text is not None

    def take(self, line: bytes) -> None:
        if self._pattern is not None and (match := self._pattern.search(line.decode("utf-8", "replace"))):
            self._text = match.group(1)

    def number(self, name: str) -> float:
        """Raises UsageError where there was none above zero."""
        assert self._pattern is not None
        shown = self._pattern.pattern[:60]
        if self._text is None:
            hint = "the pattern is searched in every line of stdout and in the end of stderr"
            raise UsageError(f"{name} printed nothing that {shown!r} matches", hint)
        try:
            value = float(self._text)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise UsageError(f"{shown!r} found {self._text[:40]!r}", "it has to find a number above zero")
        return value
