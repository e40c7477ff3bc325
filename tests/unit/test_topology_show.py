"""What people see of a machine: the text tree, the picture, the commands."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from machines import generate
from machines.invariants import as_text
from page_server import two_sockets
from toposcope.cli.capture import command as capture_command
from toposcope.cli.topology import command as topology_command
from toposcope.render.topology_svg import topology_svg
from toposcope.render.topology_tree import build_tree
from toposcope.topology.discover import discover
from toposcope.topology.document import to_document
from toposcope.topology.model import Machine
from toposcope.topology.sysfs import Root

FOLDER = Path(generate.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script>alert(1)</script>"\x1b[31m\u202e & [bold]x[/bold]'


def of(name: str) -> Machine:
    return discover(Root(FOLDER / name / "root"))


def test_text_tree_of_a_small_server() -> None:
    lines = as_text(of("two-socket-smt")).splitlines()
    assert lines[:5] == [
        "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz: 2 packages, 2 nodes, 4 cores, 8 CPUs",
        "├── package 0 = node 0 (16 GiB) = L3 16 MiB: 4 CPUs 0-1,4-5",
        "│   └── 2 cores (L2 1 MiB · L1d 32 KiB · L1i 32 KiB): 0+4 1+5",
        "└── package 1 = node 1 (16 GiB) = L3 16 MiB: 4 CPUs 2-3,6-7",
        "    └── 2 cores (L2 1 MiB · L1d 32 KiB · L1i 32 KiB): 2+6 3+7",
    ]


@pytest.mark.parametrize("name", sorted(generate.MACHINES))
def test_text_fits_80_columns_and_names_every_cpu(name: str) -> None:
    machine = of(name)
    text = as_text(machine)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for mode in machine.modes:
        assert f"{mode.name}:" in text


def test_boxes_line_up_whatever_their_numbers() -> None:
    """Core 9 and core 10, an L3 with ids of one digit and one with three: equal boxes are equally large."""
    root = ElementTree.fromstring(topology_svg(two_sockets(cores_per_l3=6, l3_per_socket=8)))
    sizes: dict[str, set[tuple[str | None, str | None]]] = {}
    for rect in root.iter(f"{SVG}rect"):
        sizes.setdefault(rect.get("class", ""), set()).add((rect.get("width"), rect.get("height")))
    assert {kind: len(sizes[kind]) for kind in ("cpu", "core", "l3", "package")} == dict.fromkeys(
        ("cpu", "core", "l3", "package"), 1
    )


def test_a_picture_says_what_its_marks_mean() -> None:
    root = ElementTree.fromstring(topology_svg(two_sockets(), {"advised": [3, 1]}))
    assert "blue: advised (1,3)" in [text.text for text in root.iter(f"{SVG}text")]


def test_text_marks_what_is_not_like_the_others() -> None:
    text = as_text(of("cpuset-cgroup1-isolated"))
    assert "2* 3*" in text
    assert "(6) (7)" in text
    assert "allowed to this process: 0-5" in text
    assert "offline: 5" in as_text(of("s390-books-drawers"))


@pytest.mark.parametrize("name", sorted(generate.MACHINES))
def test_picture_has_each_cpu_once(name: str) -> None:
    machine = of(name)
    picture = ElementTree.fromstring(topology_svg(machine))
    rects = [element.get("class", "") for element in picture.iter(f"{SVG}rect")]
    cells = [classes for classes in rects if classes.split()[0] == "cpu"]
    assert len(cells) == len(machine.online_cpus) + len(machine.offline_cpus or ())
    assert sum("offline" in classes for classes in cells) == len(machine.offline_cpus or ())
    assert sum("disallowed" in classes for classes in cells) == len(machine.online_cpus) - len(
        machine.usable_cpus
    )
    assert sum("isolated" in classes for classes in cells) == len(machine.isolated_cpus or ())


@pytest.mark.parametrize("cores", [1, 8, 256])
def test_picture_of_any_size_keeps_boxes_inside_their_frames(tmp_path: Path, cores: int) -> None:
    generate.write_machine(tmp_path, generate.Layout(cores=cores, threads=2, nodes=min(4, cores)))
    picture = ElementTree.fromstring(topology_svg(discover(Root(tmp_path))))
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    for rect in picture.iter(f"{SVG}rect"):
        assert (
            0 <= float(rect.get("x", -1)) <= float(rect.get("x", -1)) + float(rect.get("width", -1)) <= width
        )
        assert (
            0
            <= float(rect.get("y", -1))
            <= float(rect.get("y", -1)) + float(rect.get("height", -1))
            <= height
        )
    assert width / height < 6
    assert height / width < 6


def test_hostile_strings_stay_text() -> None:
    machine = dataclasses.replace(of("two-socket-smt"), settings=(("cpu_model", HOSTILE),), doubts=(HOSTILE,))
    picture = ElementTree.fromstring(topology_svg(machine))
    assert not list(picture.iter(f"{SVG}script"))
    text = as_text(machine, width=200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in text


def test_sets_that_cross_are_told_and_not_drawn() -> None:
    machine = dataclasses.replace(of("two-socket-smt"), dies=((0, 2), (1, 3)))
    tree = build_tree(machine)
    assert len(tree.crossing) == 2
    assert "doubt: die 0 crosses other sets" in as_text(machine)


def test_command_speaks_json_text_and_svg(tmp_path: Path) -> None:
    runner, root = CliRunner(), str(FOLDER / "hybrid/root")
    document = json.loads(runner.invoke(topology_command, ["--sysroot", root, "--format", "json"]).output)
    assert document["discovery_duration_s"] > 0
    saved = tmp_path / "machine.json"
    saved.write_text(json.dumps(document))
    again = json.loads(runner.invoke(topology_command, ["--topology", str(saved), "--format", "json"]).output)
    assert again == document | {"discovery_duration_s": None}
    assert runner.invoke(topology_command, ["--sysroot", root]).output.startswith("12th Gen Intel")
    assert runner.invoke(topology_command, ["--sysroot", root, "--format", "svg"]).output.startswith("<svg")


def test_capture_holds_no_serial_number_and_no_host_name(tmp_path: Path) -> None:
    for name in ("arm-big-little", "s390-books-drawers"):
        done = CliRunner().invoke(
            capture_command, [str(tmp_path / name), "--sysroot", str(FOLDER / name / "root")]
        )
        assert done.exit_code == 0
        everything = b"".join(path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file())
        assert b"c0ffee" not in everything
        assert b"123456" not in everything
        assert discover(Root(tmp_path / name)) == of(name)


def test_capture_of_this_host_reads_as_this_host(tmp_path: Path) -> None:
    done = CliRunner().invoke(capture_command, [str(tmp_path / "here"), "--format", "json"])
    assert done.exit_code == 0
    assert json.loads(done.output)["is_same"]
    copied, here = to_document(discover(Root(tmp_path / "here"))), to_document(discover(Root("/")))
    for field in ("online_cpus", "packages", "cores", "caches", "allowed_cpus", "fingerprint"):
        assert copied[field] == here[field]


def test_capture_refuses_a_directory_with_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(capture_command, [str(tmp_path), "--sysroot", str(FOLDER / "hybrid/root")])
    assert "is not empty" in str(done.exception)
