"""What our pictures share: the frame of a document, its style, escaping and rounding; pure.

A standalone picture carries its style; one inside a page does not, since the page's Content-Security-Policy
forbids inline styles: there the same rules come with the page's style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

__all__ = ["CHAR_WIDTH", "STYLE", "attribute", "document", "escape", "text"]

CHAR_WIDTH: Final = 6.4  # of 11 px sans-serif, on the wide side

STYLE: Final = """
.pic { font: 11px system-ui, sans-serif; color-scheme: light dark; }
.pic .paper { fill: #ffffff; } .pic text { fill: #1b1f24; } .pic .head { font-size: 14px; font-weight: 600; }
.pic .soft { fill: #57606a; } .pic .end { text-anchor: end; } .pic .mid { text-anchor: middle; }
.pic .absent { fill: #e4e7eb; stroke: none; } .pic path.absent { fill: none; stroke: #e4e7eb; }
.pic .on-dark { fill: #ffffff; } .pic .on-light { fill: #000000; } .pic .line { stroke: #afb8c1; fill: none; }
.pic .mark { stroke: #57606a; stroke-width: 1.5; fill: none; stroke-dasharray: 4 3; }
.pic .solid { stroke: #1b1f24; stroke-width: 1.2; stroke-dasharray: none; }
.pic .thin { stroke-opacity: 0.5; }
.pic .series { stroke: #38588c; stroke-width: 1.5; fill: none; } .pic .dot { fill: #38588c; }
.pic .confirmed { fill: #2d708e; } .pic .refuted { fill: #b35900; } .pic .inconclusive { fill: #848d97; }
@media (prefers-color-scheme: dark) {
.pic .paper { fill: #0d1117; } .pic text { fill: #e6edf3; } .pic .soft { fill: #9da7b3; }
.pic .absent { fill: #262c36; } .pic path.absent { fill: none; stroke: #262c36; }
.pic .on-dark { fill: #ffffff; } .pic .on-light { fill: #000000; } .pic .line { stroke: #444c56; }
.pic .mark { stroke: #9da7b3; } .pic .solid { stroke: #e6edf3; }
.pic .series { stroke: #6cb6d9; } .pic .dot { fill: #6cb6d9; }
.pic .confirmed { fill: #4fb3cf; } .pic .refuted { fill: #e8963e; } .pic .inconclusive { fill: #848d97; }
}
"""


def document(width: float, height: float, label: str, body: Iterable[str], *, standalone: bool) -> str:
    """A whole `<svg>` element; `label` is what screen readers say. Standalone: with style and paper."""
    w, h = math.ceil(width), math.ceil(height)
    size = f'width="{w}" height="{h}" viewBox="0 0 {w} {h}"'
    names = f'role="img" aria-label={attribute(label)}'
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" class="pic" {size} {names}>']
    if standalone:
        head += [f"<style>{STYLE}</style>", f'<rect class="paper" width="{w}" height="{h}"/>']
    return "\n".join([*head, *body, "</svg>"]) + "\n"


def attribute(value: str) -> str:
    """A quoted attribute value."""
    return quoteattr(value)


def text(x: float, y: float, content: str, classes: str = "", extra: str = "") -> str:
    """A line of text; `extra` are further attributes of our own, never of the machine's."""
    css = f' class="{classes}"' if classes else ""
    return f'<text{css} x="{x:g}" y="{y:g}"{extra}>{escape(content)}</text>'
