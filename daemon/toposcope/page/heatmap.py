"""A matrix for the page's canvas: cells in topology order, domains, levels and colours in one document.

384 CPUs have 73,000 pairs: they travel as numbers of three digits, one triangle where both are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toposcope.matrix import Matrix
from toposcope.render.matrix_svg import Grid, grid_in
from toposcope.render.order import topology_order
from toposcope.render.scale import COLOURS, LIGHT_TEXT_STEPS, scale_of
from toposcope.topology.model import Machine


def heatmap_document(matrix: Matrix, machine: Machine) -> dict[str, Any]:
    """What the canvas draws.

    `cells` is flat, row by row; with `symmetric` only what is right of the diagonal. `levels` gives for each
    level, narrow to wide, the number of the set that each CPU of the order is in (-1: in none).
    """
    order = topology_order(machine, matrix.cpus)
    grid = grid_in(matrix, order)
    symmetric = _is_symmetric(grid)
    rows = [row[index + 1 :] for index, row in enumerate(grid)] if symmetric else grid
    scale = scale_of(value for row in rows for value in row if value is not None)
    return {
        "cpus": order.cpus,
        "domains": [
            {"kind": d.kind, "label": d.label, "start": d.start, "end": d.end, "depth": d.depth}
            for d in order.domains
        ],
        "levels": _levels(machine, order.cpus),
        "symmetric": symmetric,
        "edges": [float(f"{edge:.4g}") for edge in scale.edges] if scale else [],
        "colours": COLOURS,
        "light_text_steps": LIGHT_TEXT_STEPS,
        "cells": _short([value for row in rows for value in row]),
    }


def _is_symmetric(grid: Grid) -> bool:
    return all(list(column) == row for column, row in zip(zip(*grid, strict=True), grid, strict=True))


def _short(cells: Sequence[float | None]) -> list[float | None]:
    """Three digits; a whole number without a point, which saves two characters a cell."""
    return [
        value if value is None else round(value) if value >= 100 else round(value, 1 if value >= 10 else 2)
        for value in cells
    ]


def _levels(machine: Machine, cpus: Sequence[int]) -> list[dict[str, Any]]:
    levels = []
    for name, partition in machine.levels:
        number_of = {cpu: number for number, group in enumerate(partition) for cpu in group}
        levels.append({
            "name": name,
            "group_of": [number_of.get(cpu, -1) for cpu in cpus],
            "sizes": [len(group) for group in partition],
        })  # fmt: skip
    return levels
