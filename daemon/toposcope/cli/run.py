"""`toposcope run`: start a command under the advice, and get out of the way."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from toposcope import launch
from toposcope.advise.answer import Placement, Recommendation
from toposcope.advise.recommend import recommend
from toposcope.cli import _evidence, _source
from toposcope.cli._output import format_option, print_json, text_columns
from toposcope.cli._request import request_here, request_options
from toposcope.render.advice_text import folded


@click.command("run", context_settings={"allow_interspersed_args": False})
@request_options(workers_required=False)
@click.option("--anyway", is_flag=True, help="Place the command even where the advice is to leave it.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and start nothing.")
@format_option()
@click.option("--quiet", is_flag=True, help="Say nothing on stderr.")
@_source.url_option
@_source.config_option
@click.argument("command_words", nargs=-1, required=True, metavar="-- COMMAND…")
def command(
    *,
    anyway: bool,
    dry_run: bool,
    output_format: str,
    quiet: bool,
    url: str | None,
    config_file: Path | None,
    command_words: tuple[str, ...],
    **options: Any,  # noqa: ANN401 - the request's options, taken apart in request_of
) -> None:
    """Start COMMAND where the advice says: affinity, memory policy, and OpenMP's environment.

    This process becomes COMMAND: its exit status and its signals are COMMAND's own. Where the advice is to
    leave things as they are, COMMAND runs unchanged. --format is about --dry-run.
    """
    evidence = _evidence.here(url, config_file)
    request = request_here(evidence, **options)
    answer = recommend(request, evidence, command_words)
    is_placed = answer.advice == "place" or anyway
    start = launch.start_of(answer.placements[0], os.environ) if is_placed else launch.UNCHANGED
    if dry_run:
        _show(answer, start, command_words, output_format)
        return
    if not quiet:
        click.echo(f"toposcope run: {_sentence(answer, start)}", err=True)
    try:
        launch.become(command_words, start)
    except launch.MemoryPolicyError as error:
        if not quiet:
            click.echo(f"toposcope run: {error.message}; started without it", err=True)
        launch.become(command_words, replace(start, memory_policy="default", nodes=()))


def _sentence(answer: Recommendation, start: launch.Start) -> str:
    placement = answer.placements[0]
    if start.is_unchanged:
        return placement.reasons[0]
    return "; ".join([start.sentence(), *_several(placement)])


def _several(placement: Placement) -> list[str]:
    """What is said where the advice is several processes: this command becomes one."""
    for model, each in (("process_per_node", "node"), ("process_per_l3_domain", "L3 domain")):
        if placement.model == model:
            advised = f"the advice is one process for each {each}, and this starts one over all of them"
            return [advised, "`toposcope recommend --for numactl` prints a line for each"]
    return []


def _show(
    answer: Recommendation, start: launch.Start, command_words: tuple[str, ...], output_format: str
) -> None:
    placement = answer.placements[0]
    if output_format == "json":
        print_json({
            "schema_version": 1, "mode": answer.mode, "source": answer.source, "advice": answer.advice,
            "command": command_words, "cpus": start.cpus, "memory_policy": start.memory_policy,
            "nodes": start.nodes, "environment": start.environment, "model": placement.model,
            "confidence": round(placement.confidence, 2), "reasons": placement.reasons,
        })  # fmt: skip
        return
    doing = "started unchanged" if start.is_unchanged else f"started on {start.sentence()}"
    is_against = answer.advice == "leave" and not start.is_unchanged
    advice = "leave, but with --anyway" if is_against else answer.advice
    lines = [f"{advice}: it would be {doing}"]
    lines += [f"  - {note}" for note in (*_several(placement), *placement.reasons)]
    click.echo(folded("\n".join(lines), text_columns()))
    click.echo(f"command: {shlex.join(command_words)}")
    click.echo(f"source: {answer.source}")
