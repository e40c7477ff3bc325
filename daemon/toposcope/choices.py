"""What the configuration chooses: probes with their times, CPUs, Python interpreters."""

from __future__ import annotations

import os
import shutil
import sys

import toposcope_probes
from toposcope import config
from toposcope.errors import UsageError
from toposcope.measure.plan import ProbeChoice
from toposcope.topology.cpulist import parse_cpulist
from toposcope.topology.model import Machine


def probe_choices(settings: config.Config) -> list[ProbeChoice]:
    """The probes that the daemon measures by itself, with their configured times."""
    if not settings.probes.enabled:
        return []
    choices = []
    for spec in toposcope_probes.load_all():
        own = settings.settings_of(spec.name)
        enabled = spec.enabled if own.enabled is None else own.enabled
        if enabled and not spec.on_request_only:
            choices.append(
                ProbeChoice(spec, own.interval_s or spec.interval_s, own.max_age_s or spec.max_age_s)
            )
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


def interpreters(settings: config.Config) -> tuple[str, ...]:
    """The Python interpreters that are measured: the configured ones, else our own and `python3`.

    A virtual environment's python is its base's: the same interpreter counts once.
    """
    if settings.runtime.interpreters:
        return tuple(shutil.which(name) or name for name in settings.runtime.interpreters)
    found = [sys.executable, *filter(None, [shutil.which("python3")])]
    return tuple({os.path.realpath(path): path for path in reversed(found)}.values())
