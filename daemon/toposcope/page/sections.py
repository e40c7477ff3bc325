"""The page's sections, rendered: those that change are kept until the view changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import jinja2
from markupsafe import Markup

from toposcope import __version__
from toposcope import report as reports
from toposcope.advise.request import Bound, Runtime, Sharing, Smt
from toposcope.claims_table import COMPARISONS
from toposcope.groups import Group
from toposcope.page import content
from toposcope.render.topology_svg import topology_svg
from toposcope.render.topology_tree import headline
from toposcope.topology.model import Machine
from toposcope.units import format_duration
from toposcope.view import View

STATIC: Final = Path(__file__).parent / "static"
_TEMPLATES: Final = Path(__file__).parent / "templates"
# Sections that are rendered anew for each open page's poll; `groups` over many results take the longest.
LIVE: Final = ("summary", "claims", "relations", "memory", "unstable", "probes", "events")
_GROUPS_AGE_S: Final = 15.0
_CLAIM_PROBES: Final = frozenset(comparison.probe for comparison in COMPARISONS)
_SHARING_HELP: Final = (
    "shared: all work on the same data; isolated: each on its own; pipeline: each hands over to the next"
)
_FORM: Final = {
    "sharing": (get_args(Sharing), _SHARING_HELP),
    "bound": (get_args(Bound), "what the work waits for"),
    "runtime": (get_args(Runtime), "what the workers are written in"),
    "smt": (get_args(Smt), "whether two workers may share a core"),
}

Claims = Callable[[View], Sequence[content.ClaimDocument]]


def claims_of(view: View) -> Sequence[content.ClaimDocument]:
    """The claims as the view's results decide them."""
    visited = [
        (result.identity, view.visits(result.identity.id))
        for result in view.results
        if result.identity.probe in _CLAIM_PROBES
    ]
    return reports.to_json(reports.judged(visited, view.machine))


def environment() -> jinja2.Environment:
    """Templates that escape everything, and fail where a name is missing."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["duration"] = format_duration
    return made


class Sections:
    """Renders one view; `clock_s` is a monotonic clock in seconds."""

    def __init__(
        self, view: View, claims_now: Claims = claims_of, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._view = view
        self._claims_now = claims_now
        self._clock_s = clock_s
        self._templates = environment()
        self._groups: tuple[Group, ...] = ()
        self._groups_s = float("-inf")
        self._topology: tuple[Machine, Markup] | None = None

    def page(self, events: Iterable[Mapping[str, Any]]) -> str:
        """The whole page."""
        return self._templates.get_template("page.html").render(
            head=headline(self._view.machine),
            mode=self._view.mode,
            version=__version__,
            fingerprint=self._view.fingerprint,
            topology=self._topology_picture(),
            doubts=self._view.machine.doubts,
            form=_FORM,
            cpus=len(self._view.machine.usable_cpus),
            history=content.history_choices(self._view),
            sections=self.live(events),
        )

    def live(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Markup]:
        """The sections that change, by name, as HTML."""
        template = self._templates.get_template("sections.html")
        module = template.make_module({"mode": self._view.mode})
        values = self._values(events)
        return {name: getattr(module, name)(values[name]) for name in LIVE}

    def _values(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        groups = self._fresh_groups()
        return {
            "summary": self._summary(),
            "claims": content.claim_rows(self._claims_now(self._view)),
            "relations": content.group_rows(groups),
            "memory": content.node_tables(groups),
            "unstable": content.unstable_plots(self._view),
            "probes": content.probe_rows(self._view),
            "events": content.event_rows(events),
        }

    def _summary(self) -> dict[str, Any]:
        view = self._view
        verdicts: dict[str, int] = {}
        for result in view.results:
            verdicts[result.verdict] = verdicts.get(result.verdict, 0) + 1
        return {
            "mode": view.mode,
            "placement": view.placement,
            "placement_means": content.PLACEMENTS[view.placement if view.mode == "live" else "replay"],
            "verdicts": verdicts,
            "results": len(view.results),
            "status": view.status,
        }

    def _fresh_groups(self) -> tuple[Group, ...]:
        """The view's groups, at most _GROUPS_AGE_S old: on large machines they take longer than all else."""
        now_s = self._clock_s()
        if now_s - self._groups_s > _GROUPS_AGE_S:
            self._groups, self._groups_s = self._view.groups(), now_s
        return self._groups

    def _topology_picture(self) -> Markup:
        machine = self._view.machine
        if self._topology is None or self._topology[0] is not machine:
            picture = Markup(topology_svg(machine, standalone=False))  # noqa: S704 - escapes its texts
            self._topology = (machine, picture)
        return self._topology[1]
