"""`toposcope tune`: the candidate placements, tried on the user's own command."""

from __future__ import annotations

import asyncio
import os
import random
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from toposcope import trials
from toposcope.cli import _evidence, _source
from toposcope.cli._output import format_option, print_json, text_columns
from toposcope.cli._request import request_here, request_options
from toposcope.errors import UsageError
from toposcope.measure.tuning import Standing, Tuning, Verdict, rounds_needed
from toposcope.render.advice_text import folded
from toposcope.trials import Trial


@click.command("tune", context_settings={"allow_interspersed_args": False})
@request_options(workers_required=False)
@click.option("--metric", default="wall", show_default=True, metavar="wall|REGEX",
              help="Compare wall time, or the number in the pattern's group.")  # fmt: skip
@click.option("--higher-is-better", is_flag=True, help="The metric counts something good.")
@click.option("--rounds", type=click.IntRange(3, 1000), default=10, show_default=True,
              help="Runs of each placement that is still in.")  # fmt: skip
@click.option("--deadline-s", type=click.FloatRange(0.1, 86_400), default=600.0, show_default=True,
              help="What one run may take.")  # fmt: skip
@format_option()
@_source.url_option
@_source.config_option
@click.argument("command_words", nargs=-1, required=True, metavar="-- COMMAND…")
def command(
    *,
    metric: str,
    higher_is_better: bool,
    rounds: int,
    deadline_s: float,
    output_format: str,
    url: str | None,
    config_file: Path | None,
    command_words: tuple[str, ...],
    **options: Any,  # noqa: ANN401 - the request's options, taken apart in request_of
) -> None:
    """Run COMMAND under each candidate placement, in random order, and say which one is best, if any.

    COMMAND has to end by itself, and to do the same work each time. It reads /dev/null; what it prints is
    dropped.
    """
    wanted = trials.parse_metric(metric)
    if higher_is_better and wanted.pattern is None:
        raise UsageError("more wall time is never better", "name the good number with --metric REGEX")
    evidence = _evidence.here(url, config_file)
    request = request_here(evidence, **options)
    tried = trials.trials_of(request, evidence, os.environ, frozenset(os.sched_getaffinity(0)))
    if len(tried) < 2:
        raise UsageError(
            "there is only one way to place this here: as it is", "ask for fewer workers than CPUs"
        )
    if rounds < rounds_needed(len(tried)):
        hint = f"give --rounds {rounds_needed(len(tried))} or more"
        raise UsageError(f"{rounds} rounds tell nothing between {len(tried)} placements", hint)
    tuning = Tuning([trial.name for trial in tried], rounds=rounds, seed=random.randrange(1 << 32),
                    higher_is_better=higher_is_better)  # fmt: skip
    is_cut = _run(command_words, tried, tuning, wanted, deadline_s)
    if output_format == "json":
        print_json(_document(command_words, metric, tried, tuning.verdict(), interrupted=is_cut))
    else:
        click.echo(_text(tried, tuning.verdict(), wanted.unit))
    if is_cut:
        raise click.Abort


def _run(
    words: Sequence[str], tried: Sequence[Trial], tuning: Tuning, metric: trials.Metric, deadline_s: float
) -> bool:
    """Run it all; true where Ctrl-C cut it short."""

    def told(name: str, value: float | None) -> None:
        shown = "one run to warm up is done" if value is None else f"{name}: {value:.6g} {metric.unit}"
        click.echo(shown.rstrip(), err=True)

    def waits() -> None:
        click.echo("another process is measuring: waiting for it", err=True)

    running = trials.run_trials(
        words, tried, tuning, metric, deadline_s=deadline_s, on_run=told, on_wait=waits
    )
    try:
        asyncio.run(running)
    except KeyboardInterrupt:
        return True
    return False


def _text(tried: Sequence[Trial], verdict: Verdict, unit: str) -> str:
    starts = {trial.name: trial.start for trial in tried}
    width = max(len(trial.name) for trial in tried)
    lines = [f"{'placement':{width}}  runs  median {unit:9}  against unchanged (interval)"]
    for each in verdict.standings:
        stopped = ", stopped" if each.stopped_early else ""
        lines.append(
            f"{each.name:{width}}  {len(each.values):4}  {each.median:<16.6g}  {_gain(each)}{stopped}"
        )
    said = [f"  {name}: {starts[name].sentence()}" for name in starts]
    headline = f"winner: {verdict.winner}" if verdict.winner else verdict.answer
    said.append(f"{headline}; {verdict.reason}")
    if verdict.as_good:
        said.append(f"as good, as far as these runs tell: {'; '.join(verdict.as_good)}")
    return "\n".join([*lines, *(folded(line, text_columns()) for line in said)])


def _gain(standing: Standing) -> str:
    gain = standing.gain
    if gain is None:
        return "–"
    if gain.low is None or gain.high is None:
        return f"{gain.ratio:.3f}x (too few runs for an interval)"
    return f"{gain.ratio:.3f}x ({gain.low:.3f} to {gain.high:.3f})"


def _document(
    words: Sequence[str], metric: str, tried: Sequence[Trial], verdict: Verdict, *, interrupted: bool
) -> dict[str, Any]:
    starts = {trial.name: trial.start for trial in tried}
    return {
        "schema_version": 1,
        "command": shlex.join(words),
        "metric": metric,
        "answer": verdict.answer,
        "winner": verdict.winner,
        "as_good": verdict.as_good,
        "reason": verdict.reason,
        "interrupted": interrupted,
        "placements": [{"start": starts[each.name], **_standing(each)} for each in verdict.standings],
    }


def _standing(each: Standing) -> dict[str, Any]:
    gain = each.gain
    interval = None if gain is None or gain.low is None else [round(gain.low, 4), round(gain.high or 0, 4)]
    return {
        "name": each.name,
        "runs": len(each.values),
        "values": each.values,
        "median": each.median,
        "gain_ratio": None if gain is None else round(gain.ratio, 4),
        "interval": interval,
        "stopped_early": each.stopped_early,
    }
