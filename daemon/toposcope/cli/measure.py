"""`toposcope measure`: measure now, with progress, without a daemon."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

import toposcope_probes
from toposcope import config
from toposcope.choices import find_interpreters
from toposcope.cli import _measuring, _source
from toposcope.cli._output import format_option, print_json
from toposcope.errors import UsageError
from toposcope.measure.plan import Task, all_pairs, plan
from toposcope.results import Result, to_json
from toposcope.topology.model import Machine
from toposcope_probes.contract import ProbeSpec, TargetKind


@click.command()
@click.argument("probes", nargs=-1, metavar="[PROBE]...")
@click.option("--list", "only_list", is_flag=True, help="List the probes and end.")
@click.option(
    "--cpus", metavar="LIST", help="Measure only these CPUs (0-3,8); pair probes: all pairs of them."
)
@click.option("--budget-s", type=click.FloatRange(min=0.001), help="Start no visit after this many seconds.")
@click.option(
    "--visits", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Visits a target."
)
@_source.config_option
@format_option()
def command(
    *,
    probes: tuple[str, ...],
    only_list: bool,
    cpus: str | None,
    budget_s: float | None,
    visits: int,
    config_file: Path | None,
    output_format: str,
) -> None:
    """Measure PROBEs (all, unless named) on this machine now."""
    if only_list:
        _print_list(output_format)
        return
    settings = _source.settings_from(config_file)
    machine = _measuring.this_machine()
    chosen = _measuring.choose_cpus(machine, cpus)
    specs = _measuring.find_specs(probes)
    named = _interpreters(specs, settings)
    tasks = _tasks(machine, specs, chosen, all_of_them=cpus is not None, named=named)
    _measuring.require_tasks(tasks, probes, chosen)
    found, interrupted = _measuring.measure_now(machine, tasks, settings, visits=visits, budget_s=budget_s)
    if output_format == "json":
        print_json([to_json(result) | {"source": "measurement"} for result in found])
    else:
        _print_text(found)
    if interrupted:
        click.echo(f"interrupted: {len(found)} of {len(tasks)} targets were measured", err=True)
        sys.exit(130)


def _interpreters(specs: list[ProbeSpec], settings: config.Config) -> tuple[str, ...]:
    """The interpreters to measure; asking them who they are takes time, so only where a probe needs one."""
    if not any(spec.target is TargetKind.INTERPRETER for spec in specs):
        return ()
    return asyncio.run(find_interpreters(settings))


def _tasks(
    machine: Machine,
    specs: list[ProbeSpec],
    cpus: tuple[int, ...],
    *,
    all_of_them: bool,
    named: tuple[str, ...],
) -> list[Task]:
    tasks: list[Task] = []
    for spec in specs:
        choice = _measuring.choice(spec)
        if all_of_them and spec.target is TargetKind.PAIR:
            if len(specs) == 1 and len(cpus) < 2:
                raise UsageError(
                    f"{spec.name} measures pairs of CPUs, and --cpus names one", "for example --cpus 0,1"
                )
            tasks += all_pairs(machine, choice, cpus)
        else:
            tasks += plan(machine, [choice], cpus=cpus, interpreters=named)
    return tasks


def _print_list(output_format: str) -> None:
    specs = toposcope_probes.load_all()
    if output_format == "json":
        print_json([_about(spec) for spec in specs])
        return
    width = max(len(spec.name) for spec in specs)
    for spec in specs:
        click.echo(f"{spec.name:{width}}  {spec.help}")


def _about(spec: ProbeSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "help": spec.help,
        "operation": spec.operation,
        "target": spec.target.value,
        "measures": [measure.name for measure in spec.measures],
        "variants": {key: list(values) for key, values in spec.variants.items()},
        "on_request_only": spec.on_request_only,
    }


def _print_text(found: list[Result]) -> None:
    from toposcope.render.results_text import print_results

    print_results(found)
