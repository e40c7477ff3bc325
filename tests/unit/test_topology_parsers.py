"""Parsers of /proc files, and what they mean together."""

from __future__ import annotations

from pathlib import Path

import pytest

from machines.generate import Layout, put, write_machine
from toposcope.topology.cross_check import cross_check
from toposcope.topology.discover import discover
from toposcope.topology.hostload import (
    parse_cpu_max,
    parse_pressure,
    parse_stat,
    read_cpu_quota,
    read_cpu_ticks,
)
from toposcope.topology.phases.cgroups import (
    Mount,
    group_directories,
    parse_group,
    parse_mountinfo,
    parse_mounts,
)
from toposcope.topology.phases.cpuinfo import cpu_ids, parse_cpuinfo, thin_cpuinfo
from toposcope.topology.phases.nodes import parse_distances, parse_memory_total
from toposcope.topology.phases.settings import boot_parameters
from toposcope.topology.sysfs import Root


def test_mounts_of_every_kind() -> None:
    text = ("none /dev/cpuset cpuset rw 0 0\nnone /dev/cpu\\040set cgroup rw,cpuset,noprefix 0 0\n"
            "cgroup /sys/fs/cgroup/cpu,cpuset cgroup rw,cpu,cpuset 0 0\ncgroup2 /cg2 cgroup2 rw 0 0\n"
            "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\nproc /proc proc rw 0 0\nbroken\n")  # fmt: skip
    assert list(parse_mounts(text, "cpuset")) == [
        Mount("cpuset", "/dev/cpuset"), Mount("cpuset", "/dev/cpu set"),
        Mount("cgroup", "/sys/fs/cgroup/cpu,cpuset"), Mount("cgroup2", "/cg2"),
    ]  # fmt: skip


def test_mountinfo_tells_the_shown_part() -> None:
    line = "29 23 0:26 /docker/abc /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    assert list(parse_mountinfo(line + "short - x\n", "cpuset")) == [
        Mount("cgroup2", "/sys/fs/cgroup", "/docker/abc")
    ]


def test_groups_of_both_versions() -> None:
    text = "4:cpuset,cpu:/batch\n1:name=systemd:/init.scope\n0::/user.slice/a:b\n"
    assert parse_group(text, "cgroup", "cpuset") == "/batch"
    assert parse_group(text, "cgroup2", "cpuset") == "/user.slice/a:b"
    assert parse_group("1:memory:/x\n", "cgroup", "cpuset") is None


def test_a_group_is_sought_below_the_mount_and_in_its_ancestors() -> None:
    mount = Mount("cgroup2", "/sys/fs/cgroup", "/docker/abc")
    assert list(group_directories(mount, "/docker/abc/w/x")) == [
        "sys/fs/cgroup/w/x", "sys/fs/cgroup/w", "sys/fs/cgroup",
    ]  # fmt: skip
    assert next(group_directories(Mount("cgroup2", "/../../etc"), "/../x")) == "etc/x"


def test_cpuinfo_of_several_architectures() -> None:
    x86 = "processor\t: 0\nphysical id\t: 1\n\nprocessor\t: 7\nphysical id\t: 1\n"
    s390 = "vendor_id : IBM/S390\nprocessor 0: version = FF\nprocessor 1: version = FF\n\ncpu number : 1\nphysical id : 3\n"
    sparc = "cpu : TI\nState:\nCPU6: online\nCPU7: online\n"
    assert cpu_ids(parse_cpuinfo(x86)) == (0, 7)
    assert cpu_ids(parse_cpuinfo(s390)) == (0, 1)
    assert parse_cpuinfo(s390)[1]["physical id"] == "3"
    assert cpu_ids(parse_cpuinfo(sparc)) == (6, 7)
    assert cpu_ids(parse_cpuinfo("processor : 99999999\nnonsense")) == ()


def test_thinned_cpuinfo_says_the_same() -> None:
    text = "processor\t: 3\nbogomips\t: 1\nphysical id\t: 0\nSerial\t\t: 00c0ffee\n"
    assert "c0ffee" not in thin_cpuinfo(text)
    assert parse_cpuinfo(thin_cpuinfo(text)) == [{"processor": "3", "physical id": "0"}]


def test_node_files() -> None:
    assert parse_memory_total("Node 0 MemTotal:       1024 kB\nNode 0 MemFree: 1 kB") == 1 << 20
    assert parse_memory_total("Node 0 MemFree: 1 kB") is None
    assert parse_distances("10 21  31\n") == (10, 21, 31)
    for text in ("10 x", "-1", "999999", "１０"):
        assert parse_distances(text) is None


def test_only_known_boot_parameters_are_kept() -> None:
    assert boot_parameters("root=/dev/sda isolcpus=2-3 password=x nosmt") == "isolcpus=2-3 nosmt"
    assert boot_parameters("root=/dev/sda") is None


def test_ticks_leave_guest_time_out_and_count_steal() -> None:
    ticks = parse_stat(
        "cpu  9 9 9 9\ncpu0 10 0 5 100 20 1 2 7 4 0\ncpu3 1 0 0 1\ncpux 1\nintr 5\ncpu4 1 2 a\n"
    )
    assert set(ticks) == {0}
    assert (ticks[0].busy, ticks[0].steal, ticks[0].total) == (25, 7, 145)
    assert set(read_cpu_ticks(Root("/"))) == set(discover(Root("/")).online_cpus)


@pytest.mark.parametrize(
    ("text", "quota"), [("50000 100000", 0.5), ("max 100000", None), ("1 0", None), ("", None)]
)
def test_cpu_max(text: str, quota: float | None) -> None:
    assert parse_cpu_max(text) == quota


def test_the_tightest_quota_of_all_ancestors_counts(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
    put(tmp_path, "proc/self/cgroup", "0::/a/b")
    put(tmp_path, "sys/fs/cgroup/a/b/cpu.max", "400000 100000")
    put(tmp_path, "sys/fs/cgroup/a/cpu.max", "150000 100000")
    assert read_cpu_quota(Root(tmp_path)) == 1.5
    put(tmp_path, "proc/self/mountinfo", "29 23 0:26 / /c rw - cgroup cgroup rw,cpu,cpuacct")
    put(tmp_path, "proc/self/cgroup", "3:cpu,cpuacct:/a")
    put(tmp_path, "c/a/cpu.cfs_quota_us", "-1")
    put(tmp_path, "c/a/cpu.cfs_period_us", "100000")
    assert read_cpu_quota(Root(tmp_path)) is None


def test_pressure() -> None:
    assert parse_pressure("some avg10=12.50 avg60=1.00 total=5\nfull avg10=0.00\n") == 0.125
    assert parse_pressure("some avg10=nan\n") is None
    assert parse_pressure("") is None


def test_cross_check_tells_each_difference_once(tmp_path: Path) -> None:
    write_machine(tmp_path, Layout(cores=2, threads=2, model="A  CPU"))
    machine = discover(Root(tmp_path))
    agreeing = {"logical_count": 4, "physical_count": 2, "allowed": [3, 2, 1, 0]}
    assert cross_check(machine, agreeing, {"count": 4, "brand_raw": "a cpu"}) == []
    assert cross_check(machine, {}, {"count": None}) == []
    complaints = cross_check(machine, agreeing | {"physical_count": 4}, {"count": 8, "brand_raw": "B"})
    assert complaints == [
        "online CPUs: we say 4, py-cpuinfo says 8",
        "cores: we say 2, psutil says 4",
        "CPU model: we say A  CPU, py-cpuinfo says B",
    ]
