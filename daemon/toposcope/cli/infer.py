"""`toposcope infer`: the topology of a machine from a latency matrix alone."""

from __future__ import annotations

from pathlib import Path

import click

from toposcope.cli._output import format_option, print_json
from toposcope.matrix import Matrix, read_matrix
from toposcope.topology.infer import Inference, Level, infer
from toposcope.units import format_ns

SCHEMA_VERSION = 1


@click.command("infer")
@click.argument("matrix_path", metavar="MATRIX.csv", type=click.Path(path_type=Path))
@format_option()
def command(matrix_path: Path, output_format: str) -> None:
    """Tell a machine's nested levels from a matrix of latencies between its CPUs.

    The first row of MATRIX.csv is `cpu` and the CPU ids; each further row a CPU id and its latencies in ns.
    Empty cells were not measured. No knowledge of the machine is used.
    """
    matrix = read_matrix(matrix_path)
    inference = infer(matrix)
    if output_format == "json":
        print_json(document(inference))
    else:
        click.echo(text(matrix, inference))


def document(inference: Inference) -> dict[str, object]:
    """The JSON form; every group is a list of CPU ids, levels go from the closest to the widest."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": inference.verdict,
        "confidence": round(inference.confidence, 3),
        "levels": [_level(level) for level in inference.levels],
        "reasons": list(inference.reasons),
    }


def text(matrix: Matrix, inference: Inference) -> str:
    """The same for people: the verdict, a line and the groups of each level, the reasons."""
    lines = [f"{inference.verdict} ({len(matrix.cpus)} CPUs, confidence {inference.confidence:.0%})"]
    for level in inference.levels:
        latency = "not measured" if level.latency_ns_median is None else format_ns(level.latency_ns_median)
        lines.append(f"{level.name}: {len(level.groups)} groups, {latency} inside, "
                     f"confidence {level.confidence:.0%}")  # fmt: skip
        lines += [f"  {' '.join(map(str, group))}" for group in level.groups if len(group) > 1]
        alone = [str(group[0]) for group in level.groups if len(group) == 1]
        if alone:
            lines.append(f"  alone: {' '.join(alone)}")
    return "\n".join([*lines, *(f"because {reason}" for reason in inference.reasons)])


def _level(level: Level) -> dict[str, object]:
    return {
        "name": level.name,
        "latency_ns_median": level.latency_ns_median,
        "groups": [list(group) for group in level.groups],
        "confidence": round(level.confidence, 3),
        "home": level.home,
    }
