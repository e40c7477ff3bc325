"""The topology that latencies show, inferred in a child: 512 CPUs take a second, which no loop should wait.

The child is the command `toposcope infer`; its cost is charged to whoever asks.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from toposcope.errors import ToposcopeError
from toposcope.matrix import Matrix, format_csv
from toposcope.measure import runner
from toposcope.topology.infer import Inference

_log = logging.getLogger(__name__)

DEADLINE_S: Final = 60.0


async def infer_in_child(matrix: Matrix, charge: Callable[[float], None]) -> Inference | None:
    """What `infer` says of a matrix; None, with a line in the log, where the child fails.

    `charge` is told the child's CPU time in seconds.
    """
    lines: list[bytes] = []
    complaint = ""
    try:
        with tempfile.TemporaryDirectory(prefix="toposcope-") as folder:
            file = Path(folder) / "matrix.csv"
            file.write_text(format_csv(matrix))
            argv = [sys.executable, "-m", "toposcope", "infer", str(file), "--format", "json"]
            outcome = await runner.run(argv, deadline_s=DEADLINE_S, on_line=lines.append)
            charge(outcome.cpu_s)
            complaint = outcome.fault or outcome.complaint
    except (ToposcopeError, OSError) as error:  # no place for temporary files, for one
        complaint = str(error)
    try:
        return msgspec.json.decode(b"\n".join(lines), type=Inference)
    except msgspec.DecodeError:
        _log.warning("the topology could not be inferred from %d CPUs: %s", len(matrix.cpus), complaint)
        return None
