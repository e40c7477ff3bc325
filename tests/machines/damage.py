"""Damage to a machine's files, as captures, kernels and vandals do it; the same seed does the same damage."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

_TEXTS = (
    b"", b"\n", b"(null)\n", b"0\n", b"-1\n", b"65535\n", b"4294967295\n", b"99999999999999999999999\n", b"0-\n", b"3-1\n",
    b"0-4294967295\n", b"0-65535\n", b"0,0,0\n", b"ffffffff,ffffffff\n", b",,,\n", b"0x3\n", b"zz\n", b"\x00\x00\x00",
    b"\xff\xfe\x00\x01", "０-３\n".encode(), b" 1 \n2\n3", b"1\n" * 3000, b"f" * 70000, b"f," * 70000, b"0-3," * 70000,
    b"processor : 99999999999\n", b"processor\t: \xb2\nphysical id : x\n", b"32K\n", b"K\n", b"-5K\n", b"Unified\n",
    b"Node 0 MemTotal: 99999999999999999999 kB\n", b"10 20 x\n", b"0::/../../../etc\n", b"9:cpuset:/a\x00b\n",
    b"29 23 0:26 / /../../.. rw - cgroup2 cgroup2 rw\n", b"cpuset /\x00 cpuset rw 0 0\n",
)  # fmt: skip


def damage(root: Path, seed: int) -> None:
    """Change one to twelve things below `root`."""
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 12)):
        paths = sorted(path for path in root.rglob("*") if not path.is_symlink())
        if not paths:
            return
        chance.choice(_DAMAGES)(chance, chance.choice(paths), root)


def _remove(_chance: random.Random, path: Path, root: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _overwrite(chance: random.Random, path: Path, root: Path) -> None:
    if path.is_file():
        path.write_bytes(chance.choice(_TEXTS))


def _flip(chance: random.Random, path: Path, root: Path) -> None:
    """A byte of the content becomes another one."""
    if path.is_file() and (content := bytearray(path.read_bytes())):
        content[chance.randrange(len(content))] = chance.choice(b"0123456789abcdef,-\n \x00\xff")
        path.write_bytes(bytes(content))


def _swap(chance: random.Random, path: Path, root: Path) -> None:
    """The content of another file: contradictions."""
    others = sorted(other for other in path.parent.rglob("*") if other.is_file() and not other.is_symlink())
    if path.is_file() and others:
        path.write_bytes(chance.choice(others).read_bytes())


def _link(chance: random.Random, path: Path, root: Path) -> None:
    """A link in place of a file or directory: to itself, its parent, out of the root, into nowhere."""
    target = chance.choice((path.name, "..", ".", "../../../../../../../../../etc/passwd", "/", "/proc/self/root",
                            "nowhere", "\n", "x" * 255, f"../{path.parent.name}/{path.name}"))  # fmt: skip
    _remove(chance, path, root)
    path.symlink_to(target)


def _change_kind(chance: random.Random, path: Path, root: Path) -> None:
    """A directory in place of a file and the other way round; or a pipe that nobody writes to."""
    was_directory = path.is_dir()
    _remove(chance, path, root)
    if was_directory:
        path.write_bytes(chance.choice(_TEXTS))
    elif chance.random() < 0.3:
        os.mkfifo(path)
    else:
        path.mkdir()


def _forbid(chance: random.Random, path: Path, root: Path) -> None:
    if path.is_file():  # a directory without permission could not be cleaned up
        path.chmod(0)


def _add(chance: random.Random, path: Path, root: Path) -> None:
    """Names that look like ours and are not."""
    directory = path if path.is_dir() else path.parent
    name = chance.choice(("cpu", "cpu-1", "cpu²", "cpu0x", "cpu99999", "cpu007", "node", "node1000000000", "index99",
                          "package_cpus", "die_id", "core_cpus_list", "cpulist", "distance"))  # fmt: skip
    if not os.path.lexists(directory / name):
        (directory / name).write_bytes(chance.choice(_TEXTS))


_DAMAGES: tuple[Callable[[random.Random, Path, Path], None], ...] = (
    _remove, _overwrite, _overwrite, _flip, _flip, _swap, _swap, _link, _change_kind, _forbid, _add,
)  # fmt: skip
