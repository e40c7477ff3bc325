"""Copy the files that discovery reads into a folder, so that a bug report is a test case.

What to copy is no list to be kept: discovery runs on a root that notes what it reads. Serial numbers and
host names are not among it (of DMI only vendor and product are read), and of the files that hold more than
we use only our lines are kept: /proc/cpuinfo (Arm boards and s390x tell their serial number there), the
command line, the mount tables, the process's status. Names of control groups stay: cpusets hang on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from toposcope.errors import TopologyError
from toposcope.topology.discover import discover
from toposcope.topology.phases.allowed import thin_status
from toposcope.topology.phases.cgroups import thin_groups, thin_mountinfo, thin_mounts
from toposcope.topology.phases.cpuinfo import CPUINFO, thin_cpuinfo
from toposcope.topology.phases.settings import boot_parameters
from toposcope.topology.sysfs import Root

_NEVER: Final = re.compile(r"serial|uuid|hostname|asset|ppin")
_THINNERS: Final[dict[str, Callable[[str], str]]] = {
    CPUINFO: thin_cpuinfo,
    "proc/cmdline": lambda text: (boot_parameters(text) or "") + "\n",
    "proc/self/status": thin_status,
    "proc/self/cgroup": thin_groups,
    "proc/self/mountinfo": thin_mountinfo,
    "proc/mounts": thin_mounts,
    "proc/self/mounts": thin_mounts,
}


class RecordingRoot(Root):
    """A root that keeps what was read: contents of files, and names that were looked for and found."""

    def __init__(self, path: Path | str = "/") -> None:
        super().__init__(path)
        self.contents: dict[str, bytes] = {}
        self.seen: set[str] = set()

    def numbered(self, path: str, stem: str) -> list[int]:
        """As in Root."""
        numbers = super().numbered(path, stem)
        self.seen.update(f"{path}/{stem}{number}" for number in numbers)
        return numbers

    def exists(self, path: str) -> bool:
        """As in Root."""
        found = super().exists(path)
        if found:
            self.seen.add(path)
        return found

    def head(self, path: str, size_bytes: int) -> str | None:
        """As in Root."""
        text = super().head(path, size_bytes)
        if text is not None:
            self.contents.setdefault(path, text.encode())
        return text

    def _read(self, path: str, limit_bytes: int, *, until_empty: bool) -> bytes | None:
        content = super()._read(path, limit_bytes, until_empty=until_empty)
        if content is not None:
            self.contents[path] = content
        return content


@dataclass(frozen=True, slots=True)
class Capture:
    """What was written, and whether the copy reads as the same machine."""

    file_count: int
    size_bytes: int
    is_same: bool


def capture(root: RecordingRoot, directory: Path) -> Capture:
    """Copy what discovery reads below `root` into `directory`, which must be empty or not exist.

    The copy is read back and compared. Raises TopologyError where the directory can't be written.
    """
    machine = discover(root)
    contents = {path: _thinned(path, content) for path, content in root.contents.items() if _is_wanted(path)}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise TopologyError(f"{directory} is not empty", "name a new directory for the capture")
        for path, content in contents.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for path in filter(_is_wanted, root.seen):
            if not (directory / path).exists():
                (directory / path).mkdir(parents=True)
    except OSError as error:
        raise TopologyError(f"{error.filename or directory}: {error.strerror}") from error
    copied = discover(Root(directory))
    expected = replace(machine, is_this_system=False, doubts=copied.doubts)
    return Capture(len(contents), sum(map(len, contents.values())), copied == expected)


def _is_wanted(path: str) -> bool:
    return ".." not in path.split("/") and not _NEVER.search(path)


def _thinned(path: str, content: bytes) -> bytes:
    thin = _THINNERS.get(path)
    return content if thin is None else thin(content.decode("utf-8", "replace")).encode()
