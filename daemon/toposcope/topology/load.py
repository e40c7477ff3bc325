"""A machine from wherever a command was told to take it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from toposcope.errors import TopologyError, UsageError
from toposcope.topology.discover import discover
from toposcope.topology.document import from_document
from toposcope.topology.model import Machine
from toposcope.topology.sysfs import Root

MAX_DOCUMENT_BYTES: Final = 1 << 26  # 8192 CPUs take about 10 MB
_HINT: Final = "`toposcope topology --format json` writes one"


def load_machine(sysroot: Path | None = None, topology_file: Path | None = None) -> Machine:
    """The machine below `sysroot`, or of a `topology --format json` file, or else this one.

    Raises TopologyError where none can be read, UsageError where both are given.
    """
    if sysroot is not None and topology_file is not None:
        raise UsageError("Only one of --sysroot and --topology can say which machine is meant")
    if topology_file is not None:
        return read_document(topology_file)
    if sysroot is not None and not sysroot.is_dir():
        raise TopologyError(f"{sysroot} is no directory", "`toposcope capture DIR` makes one")
    return discover(Root(sysroot or "/"))


def read_document(path: Path) -> Machine:
    """The machine that a file describes; errors name the file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise TopologyError(f"{path}: {error.strerror}", _HINT) from error
    if len(content) > MAX_DOCUMENT_BYTES:
        raise TopologyError(f"{path}: longer than {MAX_DOCUMENT_BYTES} bytes", _HINT)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TopologyError(f"{path}: not JSON ({error})", _HINT) from error
    try:
        return from_document(document)
    except TopologyError as error:
        raise TopologyError(f"{path}: {error.message}", error.hint or _HINT) from error
