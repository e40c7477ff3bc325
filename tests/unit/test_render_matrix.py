"""Heat maps in SVG and in the terminal: order, colours, numbers, sizes, hostile names."""

from __future__ import annotations

import io
import re
import time
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from page_server import matrix_like, two_cpus, two_sockets
from toposcope.matrix import Matrix, matrix_of_pairs
from toposcope.page.heatmap import heatmap_document
from toposcope.render.matrix_svg import matrix_svg
from toposcope.render.matrix_text import print_matrix
from toposcope.render.order import topology_order
from toposcope.render.scale import COLOURS, LIGHT_TEXT_STEPS, scale_of
from toposcope.render.topology_svg import topology_svg

SVG = "{http://www.w3.org/2000/svg}"


def text_of(matrix: Matrix, machine: object = None) -> str:
    console = Console(file=io.StringIO(), width=80, no_color=True, highlight=False)
    print_matrix(matrix, machine, console)
    return console.file.getvalue()


def test_order_puts_siblings_and_domains_side_by_side() -> None:
    order = topology_order(two_sockets(), range(32))
    assert order.cpus[:4] == (0, 16, 1, 17)
    outer = [domain for domain in order.domains if domain.depth == 0]
    assert [(domain.kind, domain.start, domain.end) for domain in outer] == [
        ("package", 0, 16),
        ("package", 16, 32),
    ]
    inner = [domain for domain in order.domains if domain.depth == 1]
    assert [(domain.kind, domain.end - domain.start) for domain in inner] == [("l3", 8)] * 4


def test_order_keeps_cpus_that_the_machine_does_not_know() -> None:
    assert topology_order(two_cpus(), (1, 7, 0)).cpus == (0, 1, 7)
    assert topology_order(None, (3, 1)).cpus == (3, 1)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=50), st.floats(0, 1e7))
def test_scale_holds_every_value_in_one_step(values: list[float], other: float) -> None:
    scale = scale_of(values)
    assert scale is not None
    assert list(scale.edges) == sorted(scale.edges)
    assert scale.edges[-1] / scale.edges[0] >= 1.49
    for value in (*values, other):
        step = scale.step(value)
        assert 0 <= step < scale.steps
        if scale.edges[0] <= value < scale.edges[-1]:
            assert scale.edges[step] <= value < scale.edges[step + 1]


def test_scale_of_nothing_and_of_one_outlier() -> None:
    assert scale_of([]) is None
    assert scale_of([0.0, -1.0]) is None
    scale = scale_of([20.0] * 150 + [200.0] * 150 + [90_000.0])
    assert scale is not None
    assert scale.edges[-1] == pytest.approx(400)  # one cell does not hide the rest
    assert scale.step(90_000) == scale.steps - 1


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_get_brighter_and_text_on_them_is_readable() -> None:
    light = [luminance(colour) for colour in COLOURS]
    assert light == sorted(light)  # so it works in greyscale, too
    for step, background in enumerate(light):
        text = 1.0 if step < LIGHT_TEXT_STEPS else luminance("#000000")
        bright, dark = max(text, background), min(text, background)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_svg_names_every_pair_of_a_small_machine() -> None:
    machine = two_sockets(cores_per_l3=1, l3_per_socket=1)
    matrix = matrix_like(machine)
    root = ET.fromstring(matrix_svg(matrix, machine, "compare-and-swap", "replay"))
    titles = [node.text for node in root.iter(f"{SVG}title")]
    assert len(titles) == 12
    value = matrix.value(0, 3)
    assert value is not None
    assert f"CPU 0 → CPU 3: {value:.0f} ns" in titles
    assert "mode: replay" in "".join(root.itertext())


def test_svg_of_a_large_machine_has_a_line_through_every_cell() -> None:
    machine = two_sockets(cores_per_l3=8, l3_per_socket=4)
    matrix = matrix_like(machine)
    root = ET.fromstring(matrix_svg(matrix, machine, "x", "live"))
    lengths = [float(length) for path in root.iter(f"{SVG}path") if path.get("stroke-width")
               for length in re.findall(r"h(\d+)", path.get("d", ""))]  # fmt: skip
    assert sum(lengths) == 6 * 128 * 127  # 6 pixels a cell, the diagonal left out, gaps not counted


def test_svg_of_512_cpus_is_quick_and_small() -> None:
    machine = two_sockets(cores_per_l3=8, l3_per_socket=16)
    assert len(machine.online_cpus) == 512
    cpus = machine.online_cpus
    # No two neighbours alike: the worst case for runs.
    rows = tuple(tuple(None if a == b else 10.0 + (a * 7919 + b * 104_729) % 290 for b in cpus) for a in cpus)
    began_s = time.process_time()
    drawn = matrix_svg(Matrix(cpus, rows), machine, "x", "live")
    assert time.process_time() - began_s < 2
    assert len(drawn) < 5_000_000


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "\"'><img src=x>", "]]>&<"])
def test_svg_escapes_what_it_is_told(hostile: str) -> None:
    machine = two_cpus(settings=(("cpu_model", hostile),))
    drawn = matrix_svg(matrix_of_pairs((0, 1), {(0, 1): 20.0}), machine, hostile, hostile)
    root = ET.fromstring(drawn)
    assert hostile in "".join(root.itertext())
    assert not list(root.iter(f"{SVG}script"))


@pytest.mark.parametrize("cpus", [(), (5,), (0, 1)])
def test_pictures_of_nothing_say_so(cpus: tuple[int, ...]) -> None:
    matrix = matrix_of_pairs(cpus, {})
    assert "nothing was measured yet" in matrix_svg(matrix, None, "x", "live")
    assert text_of(matrix).count("\n") == len(cpus) + 1


def test_embedded_svg_has_no_style_that_a_policy_would_block() -> None:
    machine = two_sockets()
    drawn = matrix_svg(matrix_like(machine), machine, "x", "live", standalone=False)
    assert "<style" not in drawn
    assert "style=" not in drawn


def test_text_shows_numbers_where_they_fit() -> None:
    shown = text_of(matrix_of_pairs((0, 1), {(0, 1): 26.04}), two_cpus())
    assert shown.splitlines()[0].split() == ["0", "1"]
    assert shown.splitlines()[1].split() == ["0", "·", "26.0"]
    assert re.search(r"package +1 +26 ", shown)


def test_text_of_a_large_machine_fits_80_columns_and_its_legend_holds() -> None:
    machine = two_sockets(cores_per_l3=8, l3_per_socket=4)
    shown = text_of(matrix_like(machine), machine)
    assert max(map(len, shown.splitlines())) <= 80
    rows = [line[7:] for line in shown.splitlines() if re.match(r" +\d+ [ ░▒▓█·]", line)]
    assert len(rows) == 64
    assert rows[0][0] == " "  # siblings: below the first bound
    assert rows[0][-1] == "█"  # the other package: beyond the last
    below = float(re.search(r"' ' below ([\d.]+)", shown).group(1))
    beyond = float(re.search(r"█ from ([\d.]+)", shown).group(1))
    assert 8.8 < below < 24
    assert 88 < beyond < 190


def test_document_for_the_page_is_the_matrix() -> None:
    machine = two_sockets()
    matrix = matrix_like(machine)
    document = heatmap_document(matrix, machine)
    cpus, cells = document["cpus"], iter(document["cells"])
    assert document["symmetric"]
    for row, cpu in enumerate(cpus):
        for other in cpus[row + 1 :]:
            assert next(cells) == pytest.approx(matrix.value(cpu, other), rel=0.01)
    assert next(cells, "end") == "end"


def test_document_keeps_both_directions_where_they_differ() -> None:
    document = heatmap_document(matrix_of_pairs((0, 1), {(0, 1): 20.0, (1, 0): 30.0}), two_cpus())
    assert not document["symmetric"]
    assert document["cells"] == [None, 20.0, 30.0, None]


def test_advice_is_marked_on_the_topology() -> None:
    drawn = topology_svg(two_sockets(), {"advised": (3, 17), "busy": (17,)})
    root = ET.fromstring(drawn)
    marked = {cell.get("data-cpu"): cell.get("class", "").split() for cell in root.iter(f"{SVG}rect")
              if "advised" in cell.get("class", "")}  # fmt: skip
    assert marked == {"3": ["cpu", "advised"], "17": ["cpu", "advised", "busy"]}
    assert "CPU 17, advised, busy" in [title.text for title in root.iter(f"{SVG}title")]


def test_a_matrix_of_another_unit_says_so_everywhere() -> None:
    matrix = Matrix((0, 1), ((None, 6.4), (2.3, None)))
    picture = matrix_svg(matrix, None, "blocks", "live", measured_in="GB/s from row to column")
    assert "blocks: GB/s from row to column, 2 CPUs" in picture
    assert "CPU 1 → CPU 0: 2.3 GB/s" in picture
    assert " ns" not in picture
