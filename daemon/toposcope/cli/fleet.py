"""`toposcope fleet`: the same questions over many hosts, through Prometheus."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click
import msgspec

from toposcope.advise import request as requests
from toposcope.advise.request import Request
from toposcope.cli._output import format_option, print_json
from toposcope.errors import DaemonError, UsageError
from toposcope.fleet import compare
from toposcope.fleet.client import Access, Client
from toposcope.fleet.hosts import Host, load_hosts, load_shapes
from toposcope.fleet.rank import rank
from toposcope.topology.cpulist import format_cpulist
from toposcope.units import format_ns

SCHEMA_VERSION: Final = 1
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_Command = TypeVar("_Command", bound=Callable[..., Any])
_path = click.Path(path_type=Path)


@click.group("fleet")
def command() -> None:
    """Ask the same questions of many hosts, through a Prometheus that scrapes them."""


def _source_options(wrapped: _Command) -> _Command:
    """The server, who asks, TLS, and which hosts are meant."""
    options = (
        click.option("--prometheus", "url", envvar="TOPOSCOPE_PROMETHEUS", required=True, metavar="URL",
                     help="The server, for example http://127.0.0.1:9090 (also TOPOSCOPE_PROMETHEUS)."),
        click.option("--select", default="", metavar="MATCHERS",
                     help="""Only these hosts, in PromQL's words: 'job="db", zone=~"a|b"'."""),
        click.option("--user", metavar="NAME", help="Basic authentication, with --password-file."),
        click.option("--password-file", type=_path, metavar="FILE", help="Holds the password."),
        click.option("--bearer-token-file", type=_path, metavar="FILE", help="Holds a bearer token."),
        click.option("--ca-file", type=_path, metavar="FILE", help="Authorities to trust instead."),
        click.option("--cert-file", type=_path, metavar="FILE", help="Client certificate."),
        click.option("--key-file", type=_path, metavar="FILE", help="Its key."),
        click.option("--insecure-skip-verify", is_flag=True, help="Don't check the server's certificate."),
        click.option("--timeout-s", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True,
                     help="For each question to the server."),
        format_option(),
    )  # fmt: skip
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


class _Fleet:
    """The server and the hosts that are meant, from the options of `_source_options`."""

    def __init__(self, *, url: str, select: str, user: str | None, password_file: Path | None,
                 bearer_token_file: Path | None, ca_file: Path | None, cert_file: Path | None,
                 key_file: Path | None, insecure_skip_verify: bool, timeout_s: float,
                 output_format: str) -> None:  # fmt: skip
        access = Access(url, user, password_file, bearer_token_file, ca_file, cert_file, key_file,
                        insecure_skip_verify, timeout_s)  # fmt: skip
        self.client = Client(access)
        self.url = url
        self.select = select
        self.as_json = output_format == "json"

    def hosts(self, at_s: float | None = None) -> list[Host]:
        return load_hosts(self.client, self.select, at_s=at_s)

    def show(self, name: str, found: Iterable[object], header: Sequence[str], rows: Iterable[Sequence[str]],
             *, notes: Sequence[str] = (), empty: str = "none") -> None:  # fmt: skip
        """Print what was found, as a table or as JSON."""
        if self.as_json:
            document = {"schema_version": SCHEMA_VERSION, "source": self.url, name: found, "notes": notes}
            print_json(msgspec.to_builtins(document))
            return
        lines = list(rows)
        if lines:
            _print_table(header, lines)
        else:
            click.echo(empty)
        for note in notes:
            click.echo(f"note: {note}")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@command.command("outliers")
@_source_options
def outliers_command(**options: Any) -> None:  # noqa: ANN401 - the source's options
    """Hosts that stand out among hosts of the same CPU model."""
    fleet = _Fleet(**options)
    hosts = fleet.hosts()
    found = [_standing(standing) for standing in compare.outliers(hosts)]
    few = compare.too_few(hosts)
    notes = [f"{len(hosts)} hosts were compared"]
    if few:
        notes.append(f"fewer than {compare.PEERS_MIN} hosts of: {', '.join(few)}; nothing is said of them")
    rows = [_standing_row(each) for each in found]
    fleet.show("outliers", found, ("host", "relation", "costs", "peers", "ratio", "CPU"), rows, notes=notes,
               empty="no host stands out")  # fmt: skip


def _standing(standing: compare.Standing) -> dict[str, Any]:
    document = dict(msgspec.to_builtins(standing))
    return document | {"ratio": standing.ratio, "is_outlier": standing.is_outlier}


def _standing_row(each: dict[str, Any]) -> tuple[str, ...]:
    costs, peers = format_ns(each["estimate_ns"]), f"{format_ns(each['median_ns'])} ({each['peers']})"
    return (each["instance"], each["relation"], costs, peers, f"{each['ratio']:.2f}×", each["cpu_model"])


@command.command("host")
@click.argument("instance")
@_source_options
def host_command(instance: str, **options: Any) -> None:  # noqa: ANN401 - the source's options
    """One host against its peers of the same CPU model."""
    fleet = _Fleet(**options)
    standings = compare.standings(fleet.hosts())
    found = [_standing(standing) for standing in standings if standing.instance == instance]
    if not found:
        raise DaemonError(
            f"{instance}: no such host has a sound result", "`toposcope fleet outliers` names hosts"
        )
    rows = [_standing_row(each) for each in found]
    fleet.show("standings", found, ("host", "relation", "costs", "peers", "ratio", "CPU"), rows)


@command.command("changes")
@click.option(
    "--since", required=True, metavar="TIME", help="2026-11-01, 2026-11-01T12:00:00Z, or 36h, 7d, 2w ago."
)
@_source_options
def changes_command(since: str, **options: Any) -> None:  # noqa: ANN401 - the source's options
    """What changed since a time: hosts, topologies, costs."""
    fleet = _Fleet(**options)
    at_s = parse_time(since, time.time())
    before = fleet.hosts(at_s)
    notes = [] if before else [f"the server knows nothing of that time ({since})"]
    found = compare.changes(before, fleet.hosts()) if before else []
    rows = [(each.instance, each.what, each.before, each.now, f"{each.ratio:.2f}×" if each.ratio else "")
            for each in found]  # fmt: skip
    fleet.show("changes", found, ("host", "what", "then", "now", "ratio"), rows, notes=notes,
               empty="nothing changed by a tenth or more")  # fmt: skip


def parse_time(text: str, now_s: float) -> float:
    """Seconds since the epoch of `7d` (ago) or of an ISO time, UTC unless it says. Raises UsageError."""
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text, re.ASCII)
    if ago:
        return now_s - int(ago[1]) * _SECONDS[ago[2]]
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since: {text[:40]!r} is no time", "for example 2026-11-01 or 7d") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()


@command.command("rank")
@click.option("--workers", type=int, required=True, metavar="N", help="How many workers there are.")
@click.option("--exact", is_flag=True, help="Just N workers, a CPU each.")
@click.option("--sharing", type=click.Choice(get_args(requests.Sharing)), default="shared", show_default=True)
@click.option("--bound", type=click.Choice(get_args(requests.Bound)), default="cpu", show_default=True)
@click.option("--runtime", type=click.Choice(get_args(requests.Runtime)), default="native", show_default=True)
@click.option("--smt", type=click.Choice(get_args(requests.Smt)), default="auto", show_default=True)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many to show."
)
@_source_options
def rank_command(*, workers: int, exact: bool, sharing: requests.Sharing, bound: requests.Bound,
                 runtime: requests.Runtime, smt: requests.Smt, limit: int,
                 **options: Any) -> None:  # noqa: ANN401 - the source's options; # fmt: skip
    """Which hosts suit N workers best, by the cost models of `toposcope recommend`."""
    request = Request(workers, sharing=sharing, bound=bound, runtime=runtime, smt=smt, exact=exact)
    fleet = _Fleet(**options)
    found = rank(request, fleet.hosts(), load_shapes(fleet.client, fleet.select))[:limit]
    rows = [(each.instance, each.reason or _cost(each.cost_ns), f"{each.workers_per_l3:.3g}",
             format_cpulist(each.cpus), each.cpu_model) for each in found]  # fmt: skip
    notes = ("CPUs are chosen from costs by domain: ask `toposcope recommend` on the host itself",)
    fleet.show("hosts", found, ("host", "mean cost", "workers / L3", "CPUs", "CPU"), rows, notes=notes)


def _cost(cost_ns: float | None) -> str:
    return "none: nobody talks" if cost_ns is None else format_ns(cost_ns)
