"""The report as one HTML file that opens anywhere, and its claims as one picture; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from toposcope import __version__
from toposcope.matrix import Matrix
from toposcope.page import content
from toposcope.page.sections import STATIC, environment
from toposcope.render import svg, topology_svg
from toposcope.render.bars_svg import bars_svg
from toposcope.render.matrix_svg import matrix_svg
from toposcope.render.topology_tree import headline
from toposcope.topology.model import Machine

_OPERATION: Final = "Compare-and-swap on one line"


def report_html(
    claims: Sequence[content.ClaimDocument],
    *,
    source: str,
    mode: str,
    machine: Machine | None = None,
    matrix: Matrix | None = None,
    made_s: float | None = None,
) -> str:
    """One document without scripts that loads nothing; `claims` are in the form of `report --format json`.

    Machine and matrix are drawn where they are given; `made_s` is the time of the report (epoch).
    """
    known = matrix is not None and any(cell is not None for row in matrix.cells for cell in row)
    styles = (STATIC / "page.css").read_text("utf-8") + svg.STYLE + topology_svg.STYLE
    return environment().get_template("report.html").render(
        head=headline(machine) if machine else "",
        mode=mode,
        source=source,
        version=__version__,
        made=content.moment(made_s),
        # Our own style sheet and pictures, which escape their texts.
        style=Markup(styles),  # noqa: S704
        topology=Markup(topology_svg.topology_svg(machine, standalone=False) if machine else ""),  # noqa: S704
        heatmap=Markup(  # noqa: S704
            matrix_svg(matrix, machine, _OPERATION, mode, standalone=False) if matrix and known else ""
        ),
        claims=content.claim_rows(claims),
    )  # fmt: skip


def report_svg(claims: Sequence[content.ClaimDocument], *, source: str, mode: str) -> str:
    """The claims' ratios as bars, in one picture."""
    return bars_svg(content.claim_bars(claims), f"Claims, tested on this host (source: {source}, {mode})")
