"""What the configuration chooses: probes with their times, CPUs, Python interpreters."""

from __future__ import annotations

import logging
import shutil
import sys
from typing import Final

import toposcope_probes
from toposcope import config
from toposcope.errors import ToposcopeError, UsageError
from toposcope.measure import runner
from toposcope.measure.plan import ProbeChoice
from toposcope.topology.cpulist import parse_cpulist
from toposcope.topology.model import Machine

_log = logging.getLogger(__name__)
# Time within which an interpreter has to say its own path.
_ANSWER_S_MAX: Final = 10.0


def probe_choices(settings: config.Config) -> list[ProbeChoice]:
    """The probes that the daemon measures by itself, with their configured times."""
    if not settings.probes.enabled:
        return []
    choices = []
    for spec in toposcope_probes.load_all():
        own = settings.settings_of(spec.name)
        enabled = spec.enabled if own.enabled is None else own.enabled
        if enabled and not spec.on_request_only:
            interval_s = own.interval_s or spec.interval_s
            max_age_s = own.max_age_s or spec.max_age_s
            choices.append(ProbeChoice(spec, interval_s, max_age_s, configured=own.interval_s is not None))
    return choices


def measurable_cpus(machine: Machine, limits: config.ProbeLimits) -> tuple[int, ...]:
    """The CPUs that may be measured. Raises UsageError where the configured list is wrong."""
    usable = set(machine.usable_cpus)
    if not limits.isolated_cpus:
        usable -= set(machine.isolated_cpus or ())
    if limits.cpus is not None:
        try:
            wanted = parse_cpulist(limits.cpus)
        except ValueError as error:
            raise UsageError(f"probes.cpus: {limits.cpus[:60]!r} is not a CPU list: {error}") from None
        usable &= set(wanted)
    return tuple(sorted(usable))


async def find_interpreters(settings: config.Config) -> tuple[str, ...]:
    """The Python interpreters that are measured: the configured ones, else our own and `python3`.

    Each is asked who it really is: a virtual environment, a link or a version manager's wrapper is
    another name of its interpreter, which counts once. One that doesn't answer is left out, and logged.
    """
    names = settings.runtime.interpreters or (sys.executable, "python3")
    found: dict[str, str] = {}
    for name in names:
        path = shutil.which(name)
        real = await _real_path(path) if path else ""
        if real:
            found.setdefault(real, sys.executable if name == sys.executable else real)
        else:
            _log.warning("%s is no Python interpreter that can be run: not measured", name)
    return tuple(found.values())


async def _real_path(path: str) -> str:
    lines: list[bytes] = []
    question = "import os, sys; print(os.path.realpath(sys.executable))"
    try:
        outcome = await runner.run([path, "-c", question], deadline_s=_ANSWER_S_MAX, on_line=lines.append)
    except ToposcopeError:
        return ""
    return lines[-1].decode("utf-8", "replace") if lines and not outcome.fault else ""
