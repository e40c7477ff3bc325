"""Control groups: where a controller is mounted, and which group this process is in.

Sources: cgroups(7), proc(5); Documentation/admin-guide/cgroup-v1/cgroups.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from toposcope.topology.sysfs import Root

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_MAX_DEPTH: Final = 64  # of groups in groups


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted cgroup or cpuset hierarchy. `kind` is cgroup2, cgroup or cpuset (names without prefix).

    `root` is the part of the hierarchy that the mount shows; in a container it is the container's own group.
    """

    kind: str
    point: str
    root: str = "/"


def find_mount(root: Root, controller: str) -> Mount | None:
    """Where a controller is: a cgroup v1 mount with it, the old cpuset file system, or else cgroup v2."""
    mounts: list[Mount] = []
    for path, parse in (("proc/self/mountinfo", parse_mountinfo), ("proc/mounts", parse_mounts),
                        ("proc/self/mounts", parse_mounts)):  # fmt: skip
        text = root.table(path)
        if text:
            mounts = list(parse(text, controller))
            break
    return next((mount for mount in mounts if mount.kind != "cgroup2"), None) or next(iter(mounts), None)


def parse_mounts(text: str, controller: str) -> Iterator[Mount]:
    """The mounts that can show a controller's groups, from /proc/mounts: `device point type options 0 0`."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4:
            kind = _kind(words[2], words[3], controller)
            if kind:
                yield Mount(kind, _unescaped(words[1]))


def parse_mountinfo(text: str, controller: str) -> Iterator[Mount]:
    """The same from /proc/self/mountinfo: `id parent dev root point options … - type source options`."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        words, tail = before.split(), after.split()
        if len(words) >= 6 and len(tail) >= 3:
            kind = _kind(tail[0], tail[2], controller)
            if kind:
                yield Mount(kind, _unescaped(words[4]), _unescaped(words[3]))


def thin_mounts(text: str) -> str:
    """Of /proc/mounts only the lines about cpusets."""
    return "".join(line + "\n" for line in text.splitlines() if any(parse_mounts(line, "cpuset")))


def thin_mountinfo(text: str) -> str:
    """Of /proc/self/mountinfo only the lines about cpusets."""
    return "".join(line + "\n" for line in text.splitlines() if any(parse_mountinfo(line, "cpuset")))


def _kind(file_system: str, options: str, controller: str) -> str | None:
    words = options.split(",")
    if file_system == "cgroup" and controller in words:
        return "cpuset" if "noprefix" in words else "cgroup"
    return file_system if file_system in ("cgroup2", controller) else None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8) & 0xFF), text)


def read_group(root: Root, mount: Mount, controller: str) -> str:
    """The process's group in the mounted hierarchy, as the kernel names it."""
    group = parse_group(root.table("proc/self/cgroup") or "", mount.kind, controller)
    if group is None and controller == "cpuset":
        group = root.text("proc/self/cpuset")
    return group or "/"


def parse_group(text: str, kind: str, controller: str) -> str | None:
    """The group from /proc/self/cgroup, lines `id:controllers:path`; the id of cgroup v2 is 0."""
    for line in text.splitlines():
        hierarchy_id, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy_id == "0" if kind == "cgroup2" else controller in controllers.split(","):
            return path.strip() or "/"
    return None


def thin_groups(text: str) -> str:
    """Of /proc/self/cgroup only the lines about cpusets."""
    kinds = ("cgroup", "cgroup2")
    return "".join(
        f"{line}\n" for line in text.splitlines() if any(parse_group(line, kind, "cpuset") for kind in kinds)
    )


def group_directories(mount: Mount, group: str) -> Iterator[str]:
    """The group's directory below the root and those of its ancestors, up to the mount point.

    A group without a cpuset controller of its own has that of its nearest ancestor. The kernel names the
    group from its own namespace, the mount may begin at the group's root: that part is taken off.
    """
    if mount.root != "/" and (group + "/").startswith(mount.root + "/"):
        group = group[len(mount.root) :]
    point, parts = _parts(mount.point), _parts(group)
    for length in range(min(len(parts), _MAX_DEPTH), -1, -1):
        yield "/".join((*point, *parts[:length]))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".", "..")]
