"""`toposcope diff A B`: two exports compared, for example before and after a firmware update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from toposcope.cli._output import format_option, print_json
from toposcope.compare import Difference, compare, settings_changed
from toposcope.errors import UsageError

_FILE_BYTES_MAX = 256 << 20


@click.command()
@click.argument("before", type=click.Path(path_type=Path), metavar="A")
@click.argument("after", type=click.Path(path_type=Path), metavar="B")
@click.option("--all", "show_all", is_flag=True, help="Also what stayed the same.")
@format_option()
def command(before: Path, after: Path, show_all: bool, output_format: str) -> None:
    """Compare two files of `toposcope export`: what moved by more than its interval and 5 %."""
    machine_before, results_before = _read(before)
    machine_after, results_after = _read(after)
    found = compare(results_before, results_after)
    settings = settings_changed(machine_before, machine_after)
    shown = [each for each in found if show_all or each.change != "same"]
    if output_format == "json":
        changed = {name: list(pair) for name, pair in settings.items()}
        print_json({"schema_version": 1, "settings": changed, "results": shown})
        return
    for name, (old, new) in settings.items():
        click.echo(f"setting {name}: {old} -> {new}")
    for difference in shown:
        click.echo(_line(difference))
    same = sum(each.change == "same" for each in found)
    click.echo(f"{len(found) - same} of {len(found)} results changed")


def _line(difference: Difference) -> str:
    if difference.ratio is None:
        verdicts = f"{difference.verdict_before or '–'} -> {difference.verdict_after or '–'}"
        return f"{difference.change:8} {difference.id}: {verdicts}"
    values = f"{difference.before:.4g} -> {difference.after:.4g}"
    return f"{difference.change:8} {difference.id}: {difference.measure} {values} (×{difference.ratio:.3f})"


def _read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The topology and the results of an export. Raises UsageError: which file, which line, what is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise UsageError(f"{path}: larger than {_FILE_BYTES_MAX} bytes")
    topology: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            document = msgspec.json.decode(line, type=dict[str, Any])
            if document["kind"] == "machine":
                topology = dict(document["topology"])
            else:
                found.append(document | {"id": document["id"], "verdict": document["verdict"]})
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            message = f"{path}: line {number} is not a line of an export: {error}"
            raise UsageError(message, "`toposcope export` writes such files") from None
    return topology, found
