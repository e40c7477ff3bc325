"""The reader of /sys and /proc: typed, bounded, and locked into its root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toposcope.topology import sysfs
from toposcope.topology.sysfs import Root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sys/a").mkdir(parents=True)
    (root / "sys/a/number").write_text("42\n")
    (tmp_path / "secret").write_text("7\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/number").write_text("7\n")
    return root


def test_only_slash_is_this_system(tree: Path) -> None:
    assert Root("/").is_this_system
    assert Root(tree / ".." / "..").is_this_system is False
    assert not Root(tree).is_this_system


def test_absent_files_are_none_without_a_doubt(tree: Path) -> None:
    root = Root(tree)
    assert root.integer("sys/a/none") is None
    assert root.text("sys/none/none") is None
    assert root.text("sys/a/number/below") is None
    assert root.names("nowhere") == []
    assert root.doubts == []


@pytest.mark.parametrize("target", ["../../../secret", "/../secret", "../../../outside/number"])
def test_links_do_not_leave_the_root(tree: Path, target: str) -> None:
    (tree / "sys/a/link").symlink_to(target)
    assert Root(tree).text("sys/a/link") is None


def test_a_linked_directory_does_not_leave_the_root(tree: Path) -> None:
    (tree / "sys/b").symlink_to("../../outside")
    root = Root(tree)
    assert root.text("sys/b/number") is None
    assert root.names("sys/b") == []


def test_links_inside_the_root_are_followed_absolute_ones_from_the_root(tree: Path) -> None:
    (tree / "sys/relative").symlink_to("a")
    (tree / "sys/absolute").symlink_to("/sys/relative/../a")
    (tree / "sys/a/file").symlink_to("/sys/a/number")
    root = Root(tree)
    assert root.integer("sys/relative/number") == 42
    assert root.integer("sys/absolute/number") == 42
    assert root.integer("sys/absolute/file") == 42


def test_links_in_a_circle_end_in_a_doubt(tree: Path) -> None:
    (tree / "sys/x").symlink_to("y")
    (tree / "sys/y").symlink_to("x")
    root = Root(tree)
    assert root.text("sys/x/number") is None
    assert root.text("sys/x") is None
    assert "too many symbolic links" in root.doubts[0]


def test_a_pipe_and_a_device_do_not_block(tree: Path) -> None:
    os.mkfifo(tree / "sys/a/pipe")
    root = Root(tree)
    assert root.text("sys/a/pipe") is None
    assert root.table("sys/a/pipe") == ""


def test_a_directory_in_place_of_a_file_is_a_doubt(tree: Path) -> None:
    root = Root(tree)
    assert root.text("sys/a") is None
    assert "directory" in root.doubts[0]


def test_a_file_beyond_the_limit_is_a_doubt(tree: Path) -> None:
    (tree / "sys/a/huge").write_bytes(b"1" * (sysfs.MAX_ATTRIBUTE_BYTES + 1))
    root = Root(tree)
    assert root.mask("sys/a/huge") is None
    assert "longer than" in root.doubts[0]


def test_an_attribute_longer_than_a_page_is_read_whole(tree: Path) -> None:
    (tree / "sys/a/list").write_text(",".join(str(cpu) for cpu in range(0, 5000, 2)))
    assert len(Root(tree).cpulist("sys/a/list") or ()) == 2500


def test_sizes_and_numbers(tree: Path) -> None:
    root = Root(tree)
    for text, size in (
        ("32K\n", 32768),
        ("8M", 8 << 20),
        ("1G", 1 << 30),
        ("0K", None),
        ("12", 12),
        ("x", None),
    ):
        (tree / "sys/a/size").write_text(text)
        assert root.size_bytes("sys/a/size") == size
    for text, number in (("-1\n", -1), ("0x10", None), ("9" * 5000, None), ("", None)):
        (tree / "sys/a/other").write_text(text)
        assert root.integer("sys/a/other") == number


def test_the_mask_is_believed_before_the_list(tree: Path) -> None:
    (tree / "sys/a/map").write_text("3\n")
    (tree / "sys/a/list").write_text("0-7\n")
    root = Root(tree)
    assert root.cpu_set("sys/a", "map", "list") == (0, 1)
    (tree / "sys/a/map").write_text("broken\n")
    assert root.cpu_set("sys/a", "map", "list") == tuple(range(8))


def test_doubts_are_noted_once_and_are_limited(tree: Path) -> None:
    root = Root(tree)
    for _ in range(3):
        root.doubt("same")
    for number in range(1000):
        root.doubt(f"doubt {number}")
    assert root.doubts.count("same") == 1
    assert len(root.doubts) == sysfs.MAX_DOUBTS
    root.begin()
    assert root.doubts == []


def test_names_with_numbers(tree: Path) -> None:
    for name in ("cpu0", "cpu10", "cpu9", "cpu", "cpu-1", "cpufreq", "cpu²", "cpu99999999"):
        (tree / "sys/a" / name).mkdir()
    assert Root(tree).numbered("sys/a", "cpu") == [0, 9, 10]
