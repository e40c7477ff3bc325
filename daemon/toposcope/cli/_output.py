"""What the commands' output has in common: the --format option and JSON on stdout."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import msgspec

_COLUMNS_MAX: Final = 110
_Command = TypeVar("_Command", bound=Callable[..., Any])


def format_option(*extra: str) -> Callable[[_Command], _Command]:
    """`--format text|json`, with `extra` formats (csv, svg, html) where a command has them."""
    choices = ("text", "json", *extra)
    return click.option("--format", "output_format", type=click.Choice(choices), default="text",
                        show_default=True, help="How to print the answer.")  # fmt: skip


def text_columns() -> int:
    """How wide text for people may be: as the terminal, but no wider than is good to read; 80 in a pipe."""
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, _COLUMNS_MAX))


def print_json(document: object) -> None:
    """Print one JSON document (anything that msgspec encodes), indented, ending in a newline.

    Lists of numbers stay on one line: CPU lists and matrix rows are read by people, too.
    """
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    flat = re.sub(r"\[\s+((?:-?[\d.eE+-]+|null)(?:,\s+(?:-?[\d.eE+-]+|null))*)\s+\]", _on_one_line, text)
    click.echo(flat)


def _on_one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\s+", " ", match.group(1)) + "]"
