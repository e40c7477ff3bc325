"""Where text for people goes: to a terminal as it is; into a pipe plainly, at most 80 columns wide.

Rich itself leaves colours out for NO_COLOR (no-color.org) and for dumb terminals.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType

PIPE_WIDTH: Final = 80


def show(*what: RenderableType, console: Console | None = None) -> None:
    """Print to stdout, or to `console`; a pipe gets neither colours nor blanks at the end of lines."""
    target = console or Console(highlight=False)
    if target.is_terminal:
        target.print(Group(*what))
        return
    width = target.width if console else PIPE_WIDTH
    plain = Console(width=width, no_color=True, highlight=False, force_terminal=False)
    with plain.capture() as captured:
        plain.print(Group(*what))
    target.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    target.file.flush()  # whoever reads a watch wants it now
