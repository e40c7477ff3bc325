"""`toposcope diff A B`: two exports or two stored times compared, e.g. before and after a firmware update."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from toposcope.cli import _source
from toposcope.cli._moments import parse_moment
from toposcope.cli._output import format_option, print_json
from toposcope.compare import Difference, compare, settings_changed, settings_changed_between
from toposcope.errors import UsageError
from toposcope.measure.validity import WINDOW_VISITS_MAX, judge_result
from toposcope.results import to_json
from toposcope.store import Store

_FILE_BYTES_MAX = 256 << 20
_EVENTS_READ = 1000

_Results = Sequence[Mapping[str, Any]]
# Results before and after, the settings that changed in between, and where all that comes from.
_Compared = tuple[_Results, _Results, dict[str, tuple[Any, Any]], str]


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--all", "show_all", is_flag=True, help="Also what stayed the same.")
@_source.url_option
@_source.config_option
@format_option()
def command(
    before: str, after: str, show_all: bool, url: str | None, config_file: Path | None, output_format: str
) -> None:
    """Compare two files of `toposcope export`, or two stored times: what moved beyond its interval and 5 %.

    A and B are both files, or both moments: 2026-11-20, 2026-11-20T14:30, 7d or 36h (ago), now. At a moment
    counts what was measured in the day before it, or the quantiles of that day.
    """
    now_s = time.time()
    moments = (parse_moment(before, now_s), parse_moment(after, now_s))
    if Path(before).exists() or Path(after).exists() or None in moments:
        old, new, settings, source = _exported(before, after)
    else:
        times_s = (moments[0] or 0.0, moments[1] or 0.0)
        old, new, settings, source = _stored(times_s, url, config_file)
    found = compare(old, new)
    shown = [each for each in found if show_all or each.change != "same"]
    if output_format == "json":
        changed = {name: list(pair) for name, pair in settings.items()}
        print_json({"schema_version": 1, "source": source, "settings": changed, "results": shown})
        return
    for name, (value_before, value_after) in settings.items():
        click.echo(f"setting {name}: {value_before} -> {value_after}")
    for difference in shown:
        click.echo(_line(difference))
    same = sum(each.change == "same" for each in found)
    click.echo(f"{len(found) - same} of {len(found)} results changed; source: {source}")


def _line(difference: Difference) -> str:
    if difference.ratio is None:
        verdicts = f"{difference.verdict_before or '–'} -> {difference.verdict_after or '–'}"
        return f"{difference.change:8} {difference.id}: {verdicts}"
    values = f"{difference.before:.4g} -> {difference.after:.4g}"
    return f"{difference.change:8} {difference.id}: {difference.measure} {values} (×{difference.ratio:.3f})"


def _exported(before: str, after: str) -> _Compared:
    """What two files of `toposcope export` hold."""
    (machine_before, old), (machine_after, new) = _read(before), _read(after)
    return old, new, settings_changed(machine_before, machine_after), "files"


def _stored(times_s: tuple[float, float], url: str | None, config_file: Path | None) -> _Compared:
    """What a daemon, or the user's own store, knows of two times."""
    daemon = _source.find_daemon(url)
    if daemon is not None:
        old, new = (daemon.get("/api/v1/results", at=repr(time_s))["results"] for time_s in times_s)
        events = daemon.get("/api/v1/events", limit=str(_EVENTS_READ))["events"]
        source = daemon.url
    else:
        directory = _source.own_store(_source.settings_from(config_file))
        with Store(directory, writer=False) as store:
            old, new = ([to_json(judge_result(*each)) for each in store.results_at(time_s, WINDOW_VISITS_MAX)]
                        for time_s in times_s)  # fmt: skip
            events = store.events(_EVENTS_READ)
        source = str(directory)
    for time_s, found in zip(times_s, (old, new), strict=True):
        if not found:
            raise UsageError(f"nothing is stored of the day before {_local(time_s)}", f"source: {source}")
    return old, new, settings_changed_between(events, *times_s), source


def _local(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_s))


def _read(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The topology and the results of an export. Raises UsageError: which file, which line, what is wrong."""
    path = Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        hint = "A and B are both files, or both moments such as 2026-11-20, 7d or now"
        raise UsageError(f"{path}: can't be read: {error.strerror}", hint) from error
    if len(content) > _FILE_BYTES_MAX:
        raise UsageError(f"{path}: larger than {_FILE_BYTES_MAX} bytes")
    topology: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            document = msgspec.json.decode(line, type=dict[str, Any])
            if document["kind"] == "machine":
                topology = dict(document["topology"])
            elif document["kind"] == "result":
                found.append(document | {"id": document["id"], "verdict": document["verdict"]})
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            message = f"{path}: line {number} is not a line of an export: {error}"
            raise UsageError(message, "`toposcope export` writes such files") from None
    return topology, found
