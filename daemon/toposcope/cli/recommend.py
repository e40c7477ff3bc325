"""`toposcope recommend`: where to run it, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from toposcope.advise.answer import to_document
from toposcope.advise.launchers import LAUNCHERS, command_for
from toposcope.advise.recommend import recommend
from toposcope.cli import _evidence, _source
from toposcope.cli._output import format_option, print_json, text_columns
from toposcope.cli._request import request_of, request_options
from toposcope.errors import UsageError
from toposcope.render.advice_text import advice_text
from toposcope.render.topology_svg import topology_svg

_PLACEHOLDER: Final = ("COMMAND",)


@click.command("recommend", context_settings={"ignore_unknown_options": False})
@format_option("svg")
@request_options(workers_required=True)
@click.option("--for", "launcher", metavar="LAUNCHER",
              help=f"Print just the words of this launcher: {', '.join(LAUNCHERS)}.")  # fmt: skip
@click.option("--measure", "measure_now", is_flag=True, help="First measure what the answer lacks, here.")
@_source.url_option
@_source.config_option
@click.option(
    "--sysroot", type=click.Path(path_type=Path), metavar="DIR", help="Advise on a captured machine."
)
@click.option("--topology", "topology_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Advise on the machine of this file.")  # fmt: skip
@click.option("--matrix", "matrix_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Take pair latencies from this CSV file.")  # fmt: skip
@click.argument("command_words", nargs=-1, metavar="[-- COMMAND…]")
def command(
    *,
    output_format: str,
    launcher: str | None,
    measure_now: bool,
    url: str | None,
    config_file: Path | None,
    sysroot: Path | None,
    topology_file: Path | None,
    matrix_file: Path | None,
    command_words: tuple[str, ...],
    **options: Any,  # noqa: ANN401 - the request's options, taken apart in request_of
) -> None:
    """Say on which CPUs to run N workers, as threads or processes, and why.

    Gains are told from measured results only; without any, the answer says what to measure, and --measure
    measures it.
    """
    request = request_of(**options)
    if launcher is not None and launcher not in LAUNCHERS:
        raise UsageError(
            f"there are no words for {launcher[:40]!r}", f"known launchers: {', '.join(LAUNCHERS)}"
        )
    if launcher is not None and output_format != "text":
        raise UsageError(
            f"--for prints the words of {launcher} alone, not {output_format}",
            "leave out --for: the JSON holds the words of every launcher",
        )
    if sysroot or topology_file or matrix_file:
        if measure_now:
            raise UsageError("another machine can't be measured from here", "leave --measure out")
        evidence = _evidence.replayed(sysroot, topology_file, matrix_file)
    elif measure_now:
        from toposcope.cli import _advice_measuring

        evidence = _advice_measuring.measured(request, url, config_file)
    else:
        evidence = _evidence.live(url, config_file)
    answer = recommend(request, evidence, command_words or _PLACEHOLDER)
    if launcher is not None:
        click.echo(
            command_for(launcher, answer.placements[0], evidence.machine, command_words or _PLACEHOLDER)
        )
    elif output_format == "json":
        print_json(to_document(answer))
    elif output_format == "svg":
        click.echo(topology_svg(evidence.machine, {"advised": answer.placements[0].cpus}), nl=False)
    else:
        click.echo(advice_text(answer, text_columns()))
