"""Machines of our own making: their files, and what is true of them by construction.

    generate.py            writes every machine of MACHINES into a folder of its name beside this file

A layout gives each CPU its package, die, node, cluster, L3 domain and core; files and expectations are both
derived from it, never from what discovery says. Each folder has `root/` (what is below /), `expected.json`
(fields of `topology --format json`; `doubts` are words that some doubt contains, `modes` are names) and a
README with a line on what is odd.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPU_DIR = "sys/devices/system/cpu"
NODE_DIR = "sys/devices/system/node"
Expected = dict[str, Any]


@dataclass(frozen=True)
class Cpu:
    """Where a CPU belongs; equal numbers belong together, None: the level does not exist."""

    id: int
    package: int
    core: int
    l3: int | None
    node: int | None
    l2: int
    die: int | None = None
    cluster: int | None = None
    book: int | None = None
    drawer: int | None = None


@dataclass(frozen=True)
class Layout:
    """A regular machine: counts are per package; siblings are neighbours or half the machine apart."""

    packages: int = 1
    cores: int = 4
    threads: int = 1
    nodes: int | None = 1
    l3_domains: int | None = 1
    dies: int | None = None
    cluster_cores: int | None = None
    neighbours: bool = False
    model: str = "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"
    vendor: str = "GenuineIntel"
    extra_flags: str = ""
    memory_kb: int = 16 << 20
    possible: int | None = None
    ids: tuple[int, ...] | None = None
    has_caches: bool = False

    def cpus(self) -> list[Cpu]:
        """All CPUs in the order of their ids."""
        total = self.packages * self.cores
        found = []
        for core in range(total):
            package, inner = divmod(core, self.cores)
            for thread in range(self.threads):
                cpu = core * self.threads + thread if self.neighbours else core + thread * total
                found.append(Cpu(
                    id=self.ids[cpu] if self.ids else cpu, package=package, core=core, l2=core,
                    l3=self._part(package, inner, self.l3_domains), node=self._part(package, inner, self.nodes),
                    die=self._part(package, inner, self.dies),
                    cluster=core // self.cluster_cores if self.cluster_cores else None,
                ))  # fmt: skip
        return sorted(found, key=lambda cpu: cpu.id)

    def _part(self, package: int, inner: int, count: int | None) -> int | None:
        return None if count is None else package * count + inner * count // self.cores


def cpulist(cpus: Iterable[int]) -> str:
    """`0-3,8`; written anew here, so that an error in the one under test does not hide."""
    text, run = [], []
    for cpu in [*sorted(cpus), None]:
        if run and cpu != run[-1] + 1:
            text.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]))
            run = []
        run.append(cpu)
    return ",".join(text)


def mask(cpus: Iterable[int], width: int) -> str:
    """The kernel's `%*pb` of that many bits."""
    bits, words = sum(1 << cpu for cpu in cpus), (width + 31) // 32
    digits = f"{bits:0{(words - 1) * 8 + ((width - 1) % 32) // 4 + 1}x}"
    head = len(digits) - (words - 1) * 8
    return ",".join([digits[:head], *(digits[at : at + 8] for at in range(head, len(digits), 8))])


def put(root: Path, path: str, content: str | bytes) -> None:
    """Write one file, with a newline after text."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())


def groups(cpus: Sequence[Cpu], level: str) -> list[list[int]] | None:
    """The CPU ids that share a level, in canonical order."""
    found: dict[int, list[int]] = {}
    for cpu in cpus:
        key = getattr(cpu, level)
        if key is None:
            return None
        found.setdefault(key, []).append(cpu.id)
    return sorted(found.values())


def write_machine(root: Path, layout: Layout, cpus: Sequence[Cpu] | None = None) -> Expected:
    """Write all files of a machine; returns what is true of it."""
    cpus = layout.cpus() if cpus is None else list(cpus)
    ids = [cpu.id for cpu in cpus]
    width = layout.possible or max(ids) + 1
    sets = {level: {cpu: group for group in groups(cpus, level) or () for cpu in group}
            for level in ("package", "core", "die", "cluster", "book", "drawer", "l2", "l3")}  # fmt: skip
    for name in ("online", "present"):
        put(root, f"{CPU_DIR}/{name}", cpulist(ids))
    put(root, f"{CPU_DIR}/possible", f"0-{width - 1}" if width > 1 else "0")
    put(root, f"{CPU_DIR}/isolated", "")
    for cpu in cpus:
        _write_topology(root, cpu, sets, width)
        if layout.has_caches:
            _write_caches(root, cpu, sets, width)
    _write_cpuinfo(root, layout, cpus)
    nodes = groups(cpus, "node")
    distances = _write_nodes(root, layout, nodes, width) if nodes else None
    put(root, "proc/self/status", f"Cpus_allowed_list:\t{cpulist(ids)}")
    return {
        "online_cpus": ids, "present_cpus": ids, "possible_cpus": list(range(width)), "offline_cpus": [],
        "allowed_cpus": ids, "isolated_cpus": [], "packages": groups(cpus, "package"), "dies": groups(cpus, "die"),
        "clusters": groups(cpus, "cluster"), "cores": groups(cpus, "core"), "books": groups(cpus, "book"),
        "drawers": groups(cpus, "drawer"), "smt_max": max(map(len, groups(cpus, "core") or [[]])),
        "numa_exposed": nodes is not None,
        "numa_nodes": [{"id": index, "cpus": group, "memory_bytes": layout.memory_kb << 10}
                       for index, group in enumerate(nodes or ())],
        "distances": distances, "caches": _expected_caches(cpus) if layout.has_caches else [], "modes": [], "doubts": [],
    }  # fmt: skip


def _write_topology(root: Path, cpu: Cpu, sets: dict[str, dict[int, list[int]]], width: int) -> None:
    where = f"{CPU_DIR}/cpu{cpu.id}/topology"
    put(root, f"{where}/physical_package_id", str(cpu.package))
    put(root, f"{where}/core_id", str(cpu.core))
    for level, name in (("core", "core_cpus"), ("package", "package_cpus"), ("die", "die_cpus"),
                        ("cluster", "cluster_cpus"), ("book", "book_siblings"), ("drawer", "drawer_siblings")):  # fmt: skip
        if cpu.id in sets[level]:
            put(root, f"{where}/{name}", mask(sets[level][cpu.id], width))
            if level in ("die", "cluster", "book", "drawer"):
                put(root, f"{where}/{level}_id", str(getattr(cpu, level)))


def _write_caches(root: Path, cpu: Cpu, sets: dict[str, dict[int, list[int]]], width: int) -> None:
    for index, (level, kind, size, key) in enumerate(CACHES):
        if cpu.id not in sets[key]:
            continue
        where = f"{CPU_DIR}/cpu{cpu.id}/cache/index{index}"
        for name, text in (("level", str(level)), ("type", kind), ("size", f"{size}K"),
                           ("shared_cpu_map", mask(sets[key][cpu.id], width))):  # fmt: skip
            put(root, f"{where}/{name}", text)


CACHES = (
    (1, "Data", 32, "core"),
    (1, "Instruction", 32, "core"),
    (2, "Unified", 1024, "l2"),
    (3, "Unified", 16384, "l3"),
)


def _expected_caches(cpus: Sequence[Cpu]) -> list[Expected]:
    return [{"level": level, "type": kind, "size_bytes": size << 10, "cpus": group}
            for level, kind, size, key in CACHES for group in groups(cpus, key) or ()]  # fmt: skip


def _write_cpuinfo(root: Path, layout: Layout, cpus: Sequence[Cpu]) -> None:
    blocks = [
        f"processor\t: {cpu.id}\nvendor_id\t: {layout.vendor}\nmodel name\t: {layout.model}\n"
        f"physical id\t: {cpu.package}\ncore id\t\t: {cpu.core}\nflags\t\t: fpu tsc {layout.extra_flags}\n"
        for cpu in cpus
    ]
    put(root, "proc/cpuinfo", "\n".join(blocks))


def _write_nodes(root: Path, layout: Layout, nodes: list[list[int]], width: int) -> Expected:
    ids = list(range(len(nodes)))
    per_package = layout.nodes or 1
    matrix = [
        [10 if a == b else 12 if a // per_package == b // per_package else 21 for b in ids] for a in ids
    ]
    for node, cpus in enumerate(nodes):
        write_node(root, node, mask(cpus, width), layout.memory_kb, matrix[node])
    return {"nodes": ids, "matrix": matrix}


def write_node(root: Path, node: int, cpumap: str, memory_kb: int, distances: Sequence[int]) -> None:
    """One node's files."""
    where = f"{NODE_DIR}/node{node}"
    put(root, f"{where}/cpumap", cpumap)
    put(root, f"{where}/meminfo", f"Node {node} MemTotal:       {memory_kb} kB\nNode {node} MemFree: 1 kB")
    put(root, f"{where}/distance", " ".join(map(str, distances)))


def take_offline(root: Path, expected: Expected, cpu: int) -> None:
    """Leave of a CPU what the kernel leaves: a directory without topology and caches. Masks are the caller's."""
    shutil.rmtree(root / CPU_DIR / f"cpu{cpu}")
    put(root, f"{CPU_DIR}/cpu{cpu}/online", "0")
    expected["online_cpus"] = [other for other in expected["online_cpus"] if other != cpu]
    expected["offline_cpus"] = sorted([*expected["offline_cpus"], cpu])
    expected["allowed_cpus"] = [other for other in expected["allowed_cpus"] if other != cpu]
    put(root, f"{CPU_DIR}/online", cpulist(expected["online_cpus"]))
    for name in ("packages", "dies", "clusters", "cores", "books", "drawers"):
        if expected[name] is not None:
            left = [[other for other in group if other != cpu] for group in expected[name]]
            expected[name] = sorted(group for group in left if group)
    for entry in (*expected["numa_nodes"], *expected["caches"]):
        entry["cpus"] = [other for other in entry["cpus"] if other != cpu]
    expected["caches"] = [cache for cache in expected["caches"] if cache["cpus"]]


Maker = Callable[[Path], Expected]
MACHINES: dict[str, tuple[str, Maker]] = {}


def machine(name: str, odd: str) -> Callable[[Maker], Maker]:
    """Register a machine under a folder name, with a line on what is odd."""

    def register(make: Maker) -> Maker:
        MACHINES[name] = odd, make
        return make

    return register


@machine("two-socket-smt", "nothing but the numbering: the siblings of CPU n are n and n + 4")
def _two_socket_smt(root: Path) -> Expected:
    return write_machine(root, Layout(packages=2, cores=2, threads=2, has_caches=True))


@machine("epyc-nps4", "one package in four nodes of two L3 domains each, and a die that is the whole package")
def _epyc_nps4(root: Path) -> Expected:
    layout = Layout(
        cores=8, nodes=4, l3_domains=8, dies=1, has_caches=True, model="AMD EPYC 7551P", vendor="AuthenticAMD"
    )
    return write_machine(root, layout) | {"modes": ["NPS4"]}


@machine("epyc-l3-as-numa", "every L3 domain is a node of its own, by a setting of the firmware")
def _l3_as_numa(root: Path) -> Expected:
    layout = Layout(
        cores=8, nodes=4, l3_domains=4, has_caches=True, model="AMD EPYC 7413", vendor="AuthenticAMD"
    )
    return write_machine(root, layout) | {"modes": ["L3 as NUMA"]}


@machine("hybrid", "four cores with SMT and four in one cluster that shares an L2; each kind has its PMU")
def _hybrid(root: Path) -> Expected:
    layout = Layout(nodes=1, has_caches=True, model="12th Gen Intel(R) Core(TM) i5-1240P")
    big = [Cpu(id=2 * core + thread, package=0, core=core, l2=core, l3=0, node=0, die=0, cluster=core)
           for core in range(4) for thread in range(2)]  # fmt: skip
    small = [
        Cpu(id=8 + core, package=0, core=4 + core, l2=4, l3=0, node=0, die=0, cluster=4) for core in range(4)
    ]
    expected = write_machine(root, layout, big + small)
    put(root, "sys/devices/cpu_core/cpus", "0-7")
    put(root, "sys/devices/cpu_atom/cpus", "8-11")
    return expected | {"core_types": [list(range(8)), [8, 9, 10, 11]], "core_type_names": ["performance", "efficient"],
                       "modes": ["mixed SMT", "hybrid cores"]}  # fmt: skip


@machine("s390-books-drawers", "no package ids and no nodes; two drawers of two books; CPU 5 is offline")
def _s390(root: Path) -> Expected:
    cpus = [Cpu(id=cpu, package=cpu // 2, core=cpu, l2=cpu, l3=None, node=None, book=cpu // 4, drawer=cpu // 8)
            for cpu in range(16)]  # fmt: skip
    expected = write_machine(root, Layout(possible=64), cpus)
    for cpu in range(16):
        put(root, f"{CPU_DIR}/cpu{cpu}/topology/physical_package_id", "-1")
    take_offline(root, expected, 5)
    put(root, "proc/cpuinfo", "vendor_id       : IBM/S390\n# processors    : 16\n"
        "processor 0: version = FF,  identification = 123456,  machine = 3906")  # fmt: skip
    return expected


@machine(
    "cxl-memory-node", "node 2 has memory and no CPUs; its distances differ by direction; node 0 is nearest"
)
def _cxl(root: Path) -> Expected:
    expected = write_machine(root, Layout(packages=2, cores=2))
    matrix = [[10, 21, 14], [21, 10, 24], [17, 28, 10]]
    for node in range(3):
        cpumap = mask([[0, 1], [2, 3], []][node], 4)
        write_node(root, node, cpumap, (16 << 20, 16 << 20, 64 << 20)[node], matrix[node])
    for access_class in (0, 1):
        where = root / NODE_DIR / f"node2/access{access_class}/initiators"
        where.mkdir(parents=True)
        (where / "node0").symlink_to("../../../node0")
    expected["numa_nodes"].append(
        {"id": 2, "cpus": [], "memory_bytes": 64 << 30, "kind": "memory", "initiator_nodes": [0]}
    )
    return expected | {"distances": {"nodes": [0, 1, 2], "matrix": matrix},
                       "modes": ["memory-only nodes", "asymmetric distances"]}  # fmt: skip


@machine("memoryless-sparse-nodes", "nodes 0 and 8 (IBM Power numbers so); node 8 has CPUs and no memory")
def _memoryless(root: Path) -> Expected:
    expected = write_machine(
        root, Layout(packages=2, cores=1, threads=4, neighbours=True, vendor="", model="POWER9")
    )
    (root / NODE_DIR / "node1").rename(root / NODE_DIR / "node8")
    write_node(root, 8, mask(range(4, 8), 8), 0, [21, 10])
    expected["numa_nodes"][1] |= {"id": 8, "memory_bytes": 0}
    expected["distances"]["nodes"] = [0, 8]
    return expected | {"modes": ["memory-less nodes"]}


@machine(
    "absent-cpus", "sparse ids, absent CPUs between them, one offline; the kernel writes masks only, no lists"
)
def _absent(root: Path) -> Expected:
    expected = write_machine(root, Layout(cores=6, has_caches=True, ids=(0, 1, 4, 5, 12, 13), possible=40))
    take_offline(root, expected, 12)
    return expected


@machine(
    "arm-big-little",
    "two clusters of different models; every CPU is a die of its own with id -1: there are none",
)
def _arm(root: Path) -> Expected:
    expected = write_machine(root, Layout(cores=8, cluster_cores=4, vendor="", model=""))
    for cpu in range(8):
        put(root, f"{CPU_DIR}/cpu{cpu}/topology/die_id", "-1")
        put(root, f"{CPU_DIR}/cpu{cpu}/topology/die_cpus", mask([cpu], 8))
        put(root, f"{CPU_DIR}/cpu{cpu}/cpu_capacity", "1024" if cpu > 3 else "446")
        midr = 0x411FD050 if cpu < 4 else 0x410FD0B0 + cpu % 2  # of one model, two revisions
        put(root, f"{CPU_DIR}/cpu{cpu}/regs/identification/midr_el1", f"{midr:#018x}")
    put(
        root, "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\nSerial\t: 00c0ffee"
    )
    return expected | {"core_types": [[0, 1, 2, 3], [4, 5, 6, 7]], "modes": ["hybrid cores"],
                       "cpu_capacities": {str(cpu): 1024 if cpu > 3 else 446 for cpu in range(8)}}  # fmt: skip


@machine(
    "vcpu-packages-cgroup2",
    "a guest that shows every vCPU as a package; a container may use CPUs 1 and 2 only",
)
def _vcpus(root: Path) -> Expected:
    expected = write_machine(
        root, Layout(packages=4, cores=1, nodes=None, extra_flags="hypervisor", model="QEMU Virtual CPU")
    )
    put(
        root,
        "proc/self/mountinfo",
        "29 23 0:26 /docker/abc /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
    )
    put(root, "proc/self/cgroup", "0::/docker/abc/worker")
    put(root, "sys/fs/cgroup/cpuset.cpus.effective", "1-2")
    put(root, "sys/fs/cgroup/worker/cgroup.controllers", "memory pids")
    return expected | {"allowed_cpus": [1, 2], "modes": ["every vCPU its own package"]}


@machine(
    "cpuset-cgroup1-isolated",
    "cgroup v1 cpuset of a parent group; CPUs 2 and 3 are isolated, 6 and 7 without ticks",
)
def _cgroup1(root: Path) -> Expected:
    expected = write_machine(root, Layout(packages=2, cores=4))
    put(root, f"{CPU_DIR}/isolated", "2-3")
    put(root, f"{CPU_DIR}/nohz_full", "6-7")
    put(root, "proc/mounts", "tmpfs /sys/fs/cgroup tmpfs ro 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
        "cgroup /sys/fs/cgroup/cpu\\040set cgroup rw,cpuset 0 0")  # fmt: skip
    put(root, "proc/self/cgroup", "4:cpuset:/batch/job7\n1:name=systemd:/init.scope\n0::/init.scope")
    put(root, "sys/fs/cgroup/cpu set/batch/cpuset.cpus", "0-5")
    put(root, "sys/fs/cgroup/cpu set/batch/cpuset.mems", "0")
    return expected | {"allowed_cpus": list(range(6)), "allowed_nodes": [0], "isolated_cpus": [2, 3],
                       "nohz_full_cpus": [6, 7]}  # fmt: skip


@machine("no-sysfs", "only /proc/cpuinfo, as in a chroot without /sys: packages and cores by the ids there")
def _no_sysfs(root: Path) -> Expected:
    expected = write_machine(root, Layout(packages=2, cores=2, threads=2))
    shutil.rmtree(root / "sys")
    return expected | {"present_cpus": None, "possible_cpus": None, "isolated_cpus": None, "numa_exposed": False,
                       "numa_nodes": [], "distances": None}  # fmt: skip


@machine(
    "cluster-on-die-old-kernel",
    "the kernel cut each package's siblings at its nodes; the package ids tell the truth",
)
def _cod(root: Path) -> Expected:
    layout = Layout(
        packages=2,
        cores=4,
        nodes=2,
        l3_domains=2,
        has_caches=True,
        model="Intel(R) Xeon(R) CPU E5-2650 v3 @ 2.30GHz",
    )
    expected = write_machine(root, layout)
    for cpu in layout.cpus():
        inside = [other.id for other in layout.cpus() if other.node == cpu.node]
        put(root, f"{CPU_DIR}/cpu{cpu.id}/topology/package_cpus", mask(inside, 8))
    return expected | {"modes": ["cluster on die"], "doubts": ["sibling sets"]}


@machine("smt-off", "SMT was switched off while running: the second threads are offline")
def _smt_off(root: Path) -> Expected:
    layout = Layout(cores=4, threads=2)
    expected = write_machine(root, layout)
    for cpu in range(4, 8):
        take_offline(root, expected, cpu)
    for cpu in range(4):  # the kernel takes offline siblings out of the masks
        put(root, f"{CPU_DIR}/cpu{cpu}/topology/core_cpus", mask([cpu], 8))
    put(root, f"{CPU_DIR}/smt/control", "off")
    return expected | {"smt_max": 1, "modes": ["SMT off"]}


@machine("broken-files", "binary, empty and contradictory files, links in a circle and out of the root")
def _broken(root: Path) -> Expected:
    expected = write_machine(root, Layout(packages=2, cores=4, dies=1, has_caches=True))
    put(root, f"{CPU_DIR}/cpu1/topology/package_cpus", "ff")  # claims both packages
    put(root, f"{CPU_DIR}/cpu2/cache/index3/shared_cpu_map", b"\xff\xfe\x00binary")
    put(root, f"{CPU_DIR}/nohz_full", "(null)")
    put(root, f"{CPU_DIR}/isolated", "1-")
    put(root, f"{CPU_DIR}/cpu3/topology/die_cpus", "")
    (root / NODE_DIR / "node0/meminfo").unlink()
    (root / NODE_DIR / "node0/meminfo").symlink_to("meminfo")
    (root / NODE_DIR / "node1/meminfo").unlink()
    (root / NODE_DIR / "node1/meminfo").symlink_to("../../../../../../../../../../etc/passwd")
    for node in expected["numa_nodes"]:
        node["memory_bytes"] = None
    return expected | {"isolated_cpus": None, "nohz_full_cpus": [],
                       "doubts": ["is no mask", "is no list", "overlaps", "symbolic links"]}  # fmt: skip


def write_all(folder: Path) -> None:
    """Every machine, in a folder of its name."""
    for name, (odd, make) in MACHINES.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        expected = make(folder / name / "root")
        (folder / name / "README.md").write_text(f"{odd[0].upper()}{odd[1:]}.\n")
        lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items())
        (folder / name / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write_all(Path(__file__).parent)
