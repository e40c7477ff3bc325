"""What `measure` and `matrix` share: choosing CPUs and tasks, progress, the user's own store, Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import toposcope_probes
from toposcope import config
from toposcope.clock import SystemClock
from toposcope.errors import BusyError, StoreError, ToposcopeError, UsageError
from toposcope.measure.load import LoadMeter
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.measure.session import Keep, Session
from toposcope.measure.visit import Visitor
from toposcope.report import Visited, within
from toposcope.results import Result, Visit
from toposcope.store import Store
from toposcope.topology.cpulist import format_cpulist, parse_cpulist
from toposcope.topology.discover import discover
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.model import Machine
from toposcope.topology.sysfs import Root
from toposcope_probes.contract import ProbeSpec


def this_machine() -> Machine:
    """The machine that can be measured: this one."""
    return discover(Root("/"))


def choose_cpus(machine: Machine, text: str | None) -> tuple[int, ...]:
    """The CPUs of `--cpus`, or all that may be used and are not isolated.

    Raises UsageError for a CPU that doesn't exist, is offline or is outside the cpuset.
    """
    if text is None:
        isolated = set(machine.isolated_cpus or ())
        return tuple(cpu for cpu in machine.usable_cpus if cpu not in isolated)
    try:
        wanted = parse_cpulist(text)
    except ValueError as error:
        raise UsageError(f"--cpus {text[:60]!r}: is not a CPU list: {error}", "for example 0-3,8") from None
    named = f"--cpus {text[:60]}"
    for cpu in wanted:
        if cpu in (machine.offline_cpus or ()):
            raise UsageError(f"{named}: CPU {cpu} is offline", f"online: {_listed(machine.online_cpus)}")
        if cpu not in machine.online_cpus:
            raise UsageError(f"{named}: there is no CPU {cpu}", f"online: {_listed(machine.online_cpus)}")
        if cpu not in machine.usable_cpus:
            hint = f"allowed: {_listed(machine.usable_cpus)}"
            raise UsageError(f"{named}: CPU {cpu} is outside this process's cpuset", hint)
    if not wanted:
        raise UsageError("--cpus names no CPU", "for example --cpus 0-3,8")
    return tuple(wanted)


def _listed(cpus: Sequence[int]) -> str:
    return format_cpulist(cpus)


def find_specs(names: Sequence[str]) -> list[ProbeSpec]:
    """The named probes, or all that a daemon would measure. Raises UsageError for an unknown name."""
    if not names:
        return [spec for spec in toposcope_probes.load_all() if spec.enabled and not spec.on_request_only]
    found = []
    for name in names:
        spec = toposcope_probes.find(name)
        if spec is None:
            raise UsageError(f"there is no probe {name!r}", "`toposcope measure --list` lists them")
        found.append(spec)
    return found


def choice(spec: ProbeSpec) -> ProbeChoice:
    """A probe with its own default times."""
    return ProbeChoice(spec, spec.interval_s, spec.max_age_s)


def measure_now(
    machine: Machine,
    tasks: Sequence[Task],
    settings: config.Config,
    *,
    visits: int,
    budget_s: float | None,
    keep: Keep = lambda _: None,
) -> tuple[list[Result], bool]:
    """Visit each task `visits` times, in turns; results so far, and whether Ctrl-C cut it short.

    `keep` is handed what was visited, a process's visits at a time.
    """
    session, interrupted = _run_session(
        machine, lambda _: [tasks] * visits, settings, budget_s, planned=visits * len(tasks), keep=keep
    )
    return session.results(), interrupted


def visit_rounds(
    machine: Machine,
    rounds: Callable[[Callable[[], Visited]], Iterable[Sequence[Task]]],
    settings: config.Config,
    budget_s: float,
    ends_s: float | None = None,
) -> tuple[Visited, bool]:
    """Visit the tasks of each round; the visits by result, and whether Ctrl-C cut it short.

    `rounds` is handed what tells the visits so far, since later rounds may depend on them. No visit begins
    after `budget_s`; one that is still under way after `ends_s` is broken off.
    """
    session, interrupted = _run_session(
        machine, lambda session: rounds(session.visited), settings, budget_s, planned=None, ends_s=ends_s
    )
    return session.visited(), interrupted


def _run_session(
    machine: Machine,
    rounds: Callable[[Session], Iterable[Sequence[Task]]],
    settings: config.Config,
    budget_s: float | None,
    planned: int | None,
    keep: Keep = lambda _: None,
    ends_s: float | None = None,
) -> tuple[Session, bool]:
    """Measure with progress on stderr; visits go to the user's own store as well, unless a daemon has it.

    `planned` is the number of visits, or None where it is not known before.
    """
    clock = SystemClock()
    console = Console(stderr=True)
    with _own_store(settings, console) as store, _progress(console, planned) as advance:
        record = _Recorder(store, fingerprint(machine), console)

        def keep_all(visited: Sequence[tuple[Task, Visit]]) -> None:
            record(visited)
            keep(visited)

        meter = LoadMeter(clock, machine.online_cpus)
        visitor = Visitor(
            clock,
            steal_ms=meter.steal_ms,
            on_wait=lambda: console.print("another process is measuring: waiting for it"),
        )
        session = Session(visitor, clock, lambda task, _: advance(task.identity.id), keep_all, meter.look)
        try:
            asyncio.run(within(ends_s, session.measure(rounds(session), budget_s=budget_s)))
        except KeyboardInterrupt:
            return session, True
    return session, False


class _Recorder:
    """Writes visits to the store for as long as it takes them; a full disk doesn't end the measuring."""

    def __init__(self, store: Store | None, machine_fingerprint: str, console: Console) -> None:
        self._store = store
        self._fingerprint = machine_fingerprint
        self._console = console

    def __call__(self, visited: Sequence[tuple[Task, Visit]]) -> None:
        if self._store is None:
            return
        rows = [(task.identity, task.spec.measures[0].name, visit) for task, visit in visited]
        try:
            self._store.record_all(self._fingerprint, rows)
        except StoreError as error:
            self._console.print(f"results are not stored any more: {error.message}", style="yellow")
            self._store = None


@contextlib.contextmanager
def _own_store(settings: config.Config, console: Console) -> Iterator[Store | None]:
    """The user's own store, or None (said on stderr) where it can't be had: measuring goes on."""
    try:
        store = Store(config.store_directory(settings))
    except (BusyError, StoreError) as error:
        console.print(f"results are not stored: {error.message}", style="yellow")
        yield None
        return
    with store:
        yield store


@contextlib.contextmanager
def _progress(console: Console, total: int | None) -> Iterator[_Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        yield _Advance(progress, total)


class _Advance:
    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._id = progress.add_task("starting", total=total)

    def __call__(self, what: str) -> None:
        self._progress.update(self._id, advance=1, description=what[:60])


def require_tasks(tasks: Sequence[Task], names: Sequence[str], cpus: Sequence[int]) -> None:
    """Raise where nothing can be measured, and say why."""
    if tasks:
        return
    what = ", ".join(names) or "any probe"
    raise ToposcopeError(
        f"there is nothing to measure for {what} on CPU {_listed(cpus)}",
        "pairs need two CPUs, core sets two cores, smt_interference two threads of one core",
    )
