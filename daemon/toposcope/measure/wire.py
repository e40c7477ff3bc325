"""What the measuring programs say, line by line: decoding with limits, so that garbage costs one visit.

The form is `toposcope_probes/contract.py`'s.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, Final, Literal

import msgspec

from toposcope_probes.contract import SCHEMA_VERSION

LINE_BYTES_MAX: Final = 1 << 20
_GROUPS_MAX: Final = 4096
_SAMPLES_MAX: Final = 100_000


class Line(msgspec.Struct, frozen=True):
    """One target's line, as a program printed it."""

    schema_version: int
    kernel: str
    cpus: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    status: Literal["ok", "not_applicable", "failed"]
    node: int | None = None
    variant: dict[str, str] = {}
    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    samples: dict[str, list[list[float]]] = {}
    groups: list[str] = []
    batches_kept: int = 0
    batches_dropped: dict[str, int] = {}
    checks: dict[str, float] = {}
    facts: dict[str, Any] = {}


class GarbageError(ValueError):
    """A line that is not of the contract's form; the message says why in one sentence."""


_DECODER = msgspec.json.Decoder(Line)


def decode(text: bytes) -> Line:
    """One line of a program's output. Raises GarbageError, whatever the bytes are."""
    if len(text) > LINE_BYTES_MAX:
        raise GarbageError(f"a line of {len(text)} bytes, more than {LINE_BYTES_MAX}")
    try:
        line = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GarbageError(f"not a result line: {error}") from None
    if line.schema_version != SCHEMA_VERSION:
        raise GarbageError(f"schema version {line.schema_version}, expected {SCHEMA_VERSION}")
    for name, groups in line.samples.items():
        if len(groups) > _GROUPS_MAX or sum(map(len, groups)) > _SAMPLES_MAX:
            raise GarbageError(f"more than {_SAMPLES_MAX} samples of {name[:40]}")
        values = list(itertools.chain.from_iterable(groups))
        if not all(map(math.isfinite, values)) or min(values, default=0.0) < 0:
            raise GarbageError(f"a sample of {name[:40]} is negative or not a number")
    return line
