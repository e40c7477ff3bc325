"""The only reader of /sys and /proc, always below a root directory that it was given.

A machine is described by hundreds or thousands of small files, and any of them may be missing, empty,
huge, binary, forbidden or a link into nowhere: captures come from users, and kernels have their moods,
too. So nothing here raises on odd content. A file that is absent reads as None; one that is there and
makes no sense reads as None, too, and leaves a sentence in `doubts`.

Below a root other than `/`, symbolic links are followed by our own hand, so that they can't leave the
root: an absolute target counts from the root, as in a chroot.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from toposcope.topology.cpulist import parse_cpulist, parse_mask
from toposcope.topology.model import CpuSet

_Value = TypeVar("_Value")

MAX_ATTRIBUTE_BYTES: Final = 1 << 18  # the longest mask or list of 8192 CPUs takes 40 kB
MAX_TABLE_BYTES: Final = 1 << 25  # /proc/cpuinfo of 8192 CPUs, 2 kB each, twice over
MAX_DIRECTORY_ENTRIES: Final = 100_000
MAX_DOUBTS: Final = 100
_MAX_LINKS: Final = 40  # as the kernel's own limit (path_resolution(7))
_CHUNK_BYTES: Final = 4096  # kernfs hands out at most a page in one read
# Not there, or there but not implemented by this driver or firmware: an absence like any other.
_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP,
                  errno.EINVAL, errno.ENOSYS, errno.ENODATA}  # fmt: skip
_FILE_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Root:
    """A root directory, `/` or a capture, and typed reads of files below it (paths have no leading slash).

    Not for several threads at once: it keeps the doubts and the sets read in this discovery.
    """

    def __init__(self, path: Path | str = "/") -> None:
        self.path = Path(os.path.realpath(path))
        self.is_this_system = str(self.path) == "/"
        self.doubts: list[str] = []
        self._top = str(self.path).rstrip("/")
        self._prefix = self._top + "/"
        self._directories: dict[str, str | None] = {"": self._prefix}
        self._sets: dict[tuple[bool, bytes], CpuSet | None] = {}

    def begin(self) -> None:
        """Forget what an earlier discovery left behind: doubts, directories, sets."""
        self.doubts = []
        self._directories = {"": self._prefix}
        self._sets = {}

    def doubt(self, sentence: str) -> None:
        """Note a contradiction or an unreadable file, once, and no more than MAX_DOUBTS of them."""
        if sentence not in self.doubts and len(self.doubts) < MAX_DOUBTS:
            self.doubts.append(sentence)

    # Raw reads

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted; none where it is absent or can't be read."""
        directory = self._directory(path)
        if directory is None:
            return []
        try:
            names = os.listdir(directory)  # noqa: PTH208 – thousands of calls, and names are all we want
        except OSError as error:
            self._explain(path, error)
            return []
        if len(names) > MAX_DIRECTORY_ENTRIES:
            self.doubt(f"{path}: has {len(names)} entries, only {MAX_DIRECTORY_ENTRIES} were looked at")
        return sorted(names)[:MAX_DIRECTORY_ENTRIES]

    def numbered(self, path: str, stem: str) -> list[int]:
        """The numbers N of the entries `<stem>N` in a directory, ascending."""
        return _numbers_after(stem, self.names(path))

    def numbered_directories(self, path: str, stem: str) -> list[int]:
        """As `numbered`; those that are no links are remembered, which saves a look at each later on."""
        where = self._directory(path)
        if where is None or self.is_this_system:
            return self.numbered(path, stem)
        try:
            with os.scandir(where) as entries:
                plain = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError:
            plain = set()  # names() below says why
        numbers = self.numbered(path, stem)
        for number in numbers:
            name = f"{stem}{number}"
            if name in plain:
                self._directories[f"{path}/{name}"] = f"{where}{name}/"
        return numbers

    def exists(self, path: str) -> bool:
        """Whether something is there: a file or a directory."""
        directory, _, name = path.rpartition("/")
        where = self._directory(directory)
        return where is not None and os.path.lexists(where + name)

    def octets(self, path: str, limit_bytes: int = MAX_ATTRIBUTE_BYTES) -> bytes | None:
        """A sysfs attribute as it is; None where it is absent, unreadable or longer than the limit."""
        return self._read(path, limit_bytes, until_empty=False)

    def table(self, path: str) -> str | None:
        """A whole file of /proc (read until its end) as text."""
        content = self._read(path, MAX_TABLE_BYTES, until_empty=True)
        return None if content is None else content.decode("utf-8", "replace")

    def head(self, path: str, size_bytes: int) -> str | None:
        """The beginning of a file, about `size_bytes` long: enough for the first CPU of /proc/cpuinfo."""
        descriptor = self._open(path)
        if descriptor is None:
            return None
        try:
            return os.read(descriptor, size_bytes).decode("utf-8", "replace")
        except OSError as error:
            self._explain(path, error)
            return None
        finally:
            os.close(descriptor)

    # Typed reads

    def text(self, path: str) -> str | None:
        """An attribute without surrounding blanks; None where it is absent or empty."""
        content = self.octets(path)
        return None if content is None else content.decode("utf-8", "replace").strip(" \t\r\n\0") or None

    def integer(self, path: str) -> int | None:
        """A decimal number."""
        return self._typed(path, _integer)

    def size_bytes(self, path: str) -> int | None:
        """A cache size such as `32K` or `16M` in bytes; None also for the 0 of a kernel that doesn't know."""
        return self._typed(path, _size_bytes)

    def cpulist(self, path: str) -> CpuSet | None:
        """A list such as `0-3,8`; an empty file is an empty set."""
        return self._set(path, is_mask=False)

    def mask(self, path: str) -> CpuSet | None:
        """A mask such as `00000000,0000010f`; an empty file is an empty set."""
        return self._set(path, is_mask=True)

    def cpu_set(self, directory: str, mask_name: str, list_name: str) -> CpuSet | None:
        """A set that the kernel gives as a mask and as a list; the mask is believed.

        Old kernels have the mask only, trimmed captures the list only. A list longer than a page was cut
        off until both became binary attributes (Linux 5.16, drivers/base/topology.c and node.c).
        """
        cpus = self._set(f"{directory}/{mask_name}", is_mask=True)
        return self._set(f"{directory}/{list_name}", is_mask=False) if cpus is None else cpus

    def _typed(self, path: str, parse: Callable[[str], _Value]) -> _Value | None:
        text = self.text(path)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError:
            self.doubt(f"{path}: {text[:40]!r} makes no sense there")
            return None

    def _set(self, path: str, *, is_mask: bool) -> CpuSet | None:
        content = self.octets(path)
        if content is None:
            return None
        key = (is_mask, content)
        if key in self._sets:
            return self._sets[key]
        parse = parse_mask if is_mask else parse_cpulist
        try:
            cpus = parse(content.decode("ascii", "replace"))
        except ValueError as error:
            self.doubt(f"{path}: {error}")
            return None
        self._sets[key] = cpus
        return cpus

    # Opening

    def _read(self, path: str, limit_bytes: int, *, until_empty: bool) -> bytes | None:
        descriptor = self._open(path)
        if descriptor is None:
            return None
        try:
            content = os.read(descriptor, _CHUNK_BYTES)
            if until_empty or len(content) >= _CHUNK_BYTES:
                content = _rest(descriptor, content, limit_bytes)
        except OSError as error:
            self._explain(path, error)
            return None
        finally:
            os.close(descriptor)
        if len(content) > limit_bytes:
            self.doubt(f"{path}: longer than {limit_bytes} bytes, ignored")
            return None
        return content

    def _open(self, path: str) -> int | None:
        directory, _, name = path.rpartition("/")
        where = self._directory(directory)
        if where is None:
            return None
        try:
            if self.is_this_system:
                return os.open(where + name, _FILE_FLAGS)
            return os.open(where + name, _FILE_FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.ELOOP and not self.is_this_system:
                return self._open_linked(path)
            self._explain(path, error)
        except ValueError:  # a NUL in a name that some file gave us
            self.doubt(f"{path!r}: no file can have this name")
        return None

    def _open_linked(self, path: str) -> int | None:
        target = self._resolve(self._top, path)
        if target is None:
            return None
        try:
            return os.open(target, _FILE_FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            self._explain(path, error)
            return None

    def _directory(self, path: str) -> str | None:
        """Where a directory really is, with a trailing slash."""
        if self.is_this_system:
            return f"/{path}/" if path else "/"
        if path in self._directories:
            return self._directories[path]
        parent, _, name = path.rpartition("/")
        known = self._directories.get(parent)
        target = self._resolve(known.rstrip("/"), name) if known else self._resolve(self._top, path)
        where = self._directories[path] = None if target is None else target + "/"
        return where

    def _resolve(self, done: str, path: str) -> str | None:
        """The real path of `path` below the real directory `done`; None where it is absent or loops.

        Each link's target is counted from the link's directory, an absolute one from the root; `..` at
        the root stays there.
        """
        links = 0
        todo = path.split("/")
        todo.reverse()
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done if done == self._top else done.rpartition("/")[0]
                continue
            target = self._link_target(f"{done}/{part}")
            if target is None:
                return None
            if not target:
                done = f"{done}/{part}"
                continue
            links += 1
            if links > _MAX_LINKS:
                self.doubt(f"{path}: too many symbolic links")
                return None
            done = self._top if target.startswith("/") else done
            todo.extend(reversed(target.split("/")))
        return done

    def _link_target(self, real_path: str) -> str | None:
        """A link's target, "" for what is no link, None for what is not there."""
        try:
            if stat.S_ISLNK(os.lstat(real_path).st_mode):
                return os.readlink(real_path)  # noqa: PTH115 – real_path is text throughout
        except OSError as error:
            self._explain(real_path.removeprefix(self._prefix), error)
            return None
        except ValueError:  # a NUL in a name that some file gave us
            return None
        return ""

    def _explain(self, path: str, error: OSError) -> None:
        if error.errno not in _ABSENT:
            self.doubt(f"{path}: {os.strerror(error.errno or 0)}")


def _numbers_after(stem: str, names: list[str]) -> list[int]:
    tails = (name[len(stem) :] for name in names if name.startswith(stem))
    return sorted({int(tail) for tail in tails if tail.isascii() and tail.isdigit() and len(tail) < 7})


def _rest(descriptor: int, content: bytes, limit_bytes: int) -> bytes:
    parts, length = [content], len(content)
    while length <= limit_bytes:
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        parts.append(part)
        length += len(part)
    return b"".join(parts)


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(text)
    return int(text, 10)


def _size_bytes(text: str) -> int | None:
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1].upper())
    number = _integer(text[:-1] if factor else text) * (factor or 1)
    return number if number > 0 else None
