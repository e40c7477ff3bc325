"""The launchers' words, run by the launchers themselves; what they bound is read from the kernel."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from integration.launcher_servers import (
    allowed,
    children,
    docker,
    free_port,
    libvirt,
    needs,
    needs_root,
    postgresql,
    running,
    said,
    slurm,
    spark,
    until,
)
from toposcope.advise.launchers import LAUNCHERS
from toposcope.advise.launchers.launch import Launch
from toposcope.topology.model import Machine, Node

# Nothing is measured here: what fails once is wrong.
pytestmark = pytest.mark.flaky(reruns=0)

# The last first: what ignores the order, or the words, gets another one.
CPUS = tuple(sorted(os.sched_getaffinity(0), reverse=True)[:2])
ONE = CPUS[:1]
ALL = ",".join(map(str, sorted(CPUS))) if CPUS[0] - CPUS[-1] > 1 else f"{CPUS[-1]}-{CPUS[0]}"


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that others may enter, too: servers that aren't root, and munge's clients."""
    with tempfile.TemporaryDirectory(prefix="toposcope-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def words(
    name: str, command: Sequence[str], cpus: tuple[int, ...] = ONE, *, model: str = "threads",
    policy: str = "default",
) -> str:  # fmt: skip
    """What the launcher's words are for a placement on a machine of one node."""
    machine = Machine(True, tuple(sorted(cpus)), numa_nodes=(Node(0, tuple(sorted(cpus)), None),))
    return LAUNCHERS[name](Launch(cpus, (0,), policy, model, machine, tuple(command)))


# ---------------------------------------------------------------------------------------- clusters


def test_slurm_gives_each_task_its_cpu_and_threads_all_of_them(open_path: Path) -> None:
    needs("srun", "salloc", package="slurm-client")
    needs("slurmctld", "slurmd", "munged", package="slurmctld, slurmd and munge")
    needs_root("slurmd")
    if len(CPUS) < 2 or set(CPUS) != set(range(os.cpu_count() or 1)):
        pytest.skip("a node of two CPUs, all of them allowed, is what this cluster has")
    script = open_path / "where"
    script.write_text(
        '#!/bin/sh\necho "$SLURM_PROCID $(grep Cpus_allowed_list /proc/self/status | cut -f2) $*"\n'
    )
    script.chmod(0o755)
    folder = open_path / "slurm"
    folder.mkdir()
    command = (str(script), "a b", "$HOME")
    with slurm(folder) as environment:
        tasks = said(words("slurm", command, CPUS, model="processes"), environment)
        assert sorted(tasks.splitlines()) == [f"{rank} {cpu} a b $HOME" for rank, cpu in enumerate(CPUS)]
        assert said(words("slurm", command, CPUS), environment) == f"0 {ALL} a b $HOME"
        assert said(words("slurm", command, ONE, policy="local"), environment) == f"0 {ONE[0]} a b $HOME"


# -------------------------------------------------------------------------- containers and guests

_CONTAINERS = """[containers]
netns = "host"
default_ulimits = ["nofile=256:256", "nproc=256:256"]
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def _tiny_root(folder: Path) -> Path:
    """The whole file system of an image: busybox, which greps there."""
    needs("busybox", package="busybox-static")
    root = folder / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", root / "bin")
    (root / "bin/grep").symlink_to("busybox")
    return root


def test_podman_binds_the_container(tmp_path: Path) -> None:
    needs("podman", package="podman")
    needs_root("a cpuset without delegated controllers")
    runtime = next((one for one in ("runc", "crun") if shutil.which(one)), None)
    if runtime is None:
        pytest.skip("neither runc nor crun is installed (Debian packages of these names)")
    root = _tiny_root(tmp_path)
    (tmp_path / "containers.conf").write_text(_CONTAINERS.format(runtime=runtime))
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n'
    )
    environment = {"CONTAINERS_CONF": f"{tmp_path}/containers.conf",
                   "CONTAINERS_STORAGE_CONF": f"{tmp_path}/storage.conf"}  # fmt: skip
    said(f"tar -C {root} -c . | podman import -q - tiny", environment)
    line = words("podman", ("grep", "Cpus_allowed_list", "/proc/self/status"), policy="bind")
    done = subprocess.run(["sh", "-c", line.replace("IMAGE", "tiny")], capture_output=True, text=True,
                          check=False, env=os.environ | environment)  # fmt: skip
    if "OCI" in done.stderr and ("cgroup" in done.stderr or "permi" in done.stderr):
        pytest.skip(f"{runtime} can't start a container here: {done.stderr.strip()[-120:]}")
    assert done.stdout.split() == ["Cpus_allowed_list:", str(ONE[0])], done.stderr


@pytest.mark.parametrize("cpus", [ONE, CPUS], ids=["one", "several"])
def test_docker_binds_the_container(cpus: tuple[int, ...], open_path: Path) -> None:
    needs("docker", "dockerd", package="docker.io")
    needs("unshare", package="util-linux")
    needs_root("dockerd")
    root = _tiny_root(open_path)
    asked = ("grep", "-E", "(Cpus|Mems)_allowed_list", "/proc/self/status")
    line = words("docker", asked, cpus, policy="bind")
    with docker(open_path) as environment:
        said(f"tar -C {root} -c . | docker import - tiny", environment)
        done = subprocess.run(["sh", "-c", line.replace("IMAGE", "tiny")], capture_output=True, text=True,
                              check=False, timeout=60, env=os.environ | environment)  # fmt: skip
    if done.returncode == 125 and "cgroup" in done.stderr:
        pytest.skip(f"the engine can't start a container here: {done.stderr.strip()[-120:]}")
    expected = str(cpus[0]) if len(cpus) == 1 else ALL
    assert done.stdout.split() == ["Cpus_allowed_list:", expected, "Mems_allowed_list:", "0"], done.stderr


def test_dockers_client_knows_the_options() -> None:
    """Without an engine, too: the client reads its options first, then looks for one."""
    needs("docker", package="docker.io")
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent"}
    line = words("docker", ("true",), policy="bind").replace("IMAGE", "image")
    for text, complaint in ((line, "connect"), (line.replace("cpuset-mems", "cpuset-mem"), "unknown flag")):
        done = subprocess.run(
            ["sh", "-c", text], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode != 0
        assert complaint in done.stderr


def test_libvirt_pins_the_guests_cpus(open_path: Path) -> None:
    needs("virsh", "libvirtd", package="libvirt-clients and libvirt-daemon")
    needs("qemu-system-x86_64", package="qemu-system-x86")
    needs("virt-xml-validate", "xmllint", package="libvirt-clients and libxml2-utils")
    guest = open_path / "guest.xml"
    guest.write_text(
        "<domain type='qemu'><name>tiny</name><memory unit='MiB'>32</memory>"
        + words("libvirt", ("true",), CPUS)
        + "<os><type arch='x86_64'>hvm</type></os>"
        "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"
    )
    said(f"virt-xml-validate {guest} domain")
    folder = open_path / "libvirt"
    folder.mkdir()
    with libvirt(folder) as (environment, switch):
        virsh = shlex.join([*switch, "virsh", "-q", "-c", "qemu:///session"])
        said(f"{virsh} create {guest}", environment)
        try:
            pinned = said(f"{virsh} vcpupin tiny", environment).split()
            pid = int((folder / "libvirt/qemu/run/tiny.pid").read_text())
            assert pinned == [str(value) for vcpu, cpu in enumerate(CPUS) for value in (vcpu, cpu)]
            assert {str(cpu) for cpu in CPUS} <= allowed(pid) <= {ALL, *map(str, CPUS)}
        finally:
            said(f"{virsh} destroy tiny", environment)


@pytest.mark.parametrize("kind", ["as it is", "misspelt"])
def test_the_pod_fits_kubernetes_schema(kind: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed (from PyPI)")
    pod = yaml.safe_load(words("kubernetes", ("printf", "%s", "a b"), CPUS))
    if kind == "misspelt":
        pod["spec"]["containers"][0]["resources"]["limit"] = {}
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(pod))
    done = subprocess.run([sys.executable, "-m", "kubernetes_validate", "--strict", file], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert (done.returncode == 0) == (kind == "as it is"), done.stdout + done.stderr


# ---------------------------------------------------------------------------------------- services

_SHOW = """import java.nio.file.*;
public class Show { public static void main(String[] words) throws Exception {
  System.out.println(Runtime.getRuntime().availableProcessors() + " " + String.join("|", words));
  for (String line : Files.readAllLines(Path.of("/proc/self/status")))
    if (line.startsWith("Cpus_allowed_list")) System.out.println(line.split("\\t")[1]);
} }
"""


def test_a_jvm_sees_as_many_processors_as_were_advised(tmp_path: Path) -> None:
    needs("java", "javac", package="openjdk-17-jdk-headless")
    needs("numactl", package="numactl")
    source = tmp_path / "Show.java"
    source.write_text(_SHOW)
    answer = said(words("jvm", (str(source), "a b", "$HOME")))
    assert answer.splitlines() == ["1 a b|$HOME", str(ONE[0])]
    machine = Machine(True, tuple(sorted(CPUS)), numa_nodes=(Node(0, ONE, None), Node(1, CPUS[1:], None)))
    several = Launch(CPUS, (0, 1), "default", "threads", machine, ("-version",))
    said(LAUNCHERS["jvm"](several))  # with UseNUMA, which a machine of one node ignores


_WSGI = "def app(environ, start):\n    start('200 OK', [])\n    return [b'ok']\n"
_ASGI = "async def app(scope, receive, send):\n    pass\n"


@pytest.mark.parametrize("cpus", [ONE, CPUS], ids=["one", "several"])
@pytest.mark.parametrize("model", ["threads", "processes", "coroutines"])
def test_gunicorns_workers_inherit_the_cpus(model: str, cpus: tuple[int, ...], tmp_path: Path) -> None:
    _needs_python("gunicorn", package="gunicorn")
    if model == "coroutines":
        _needs_python("gevent", package="python3-gevent")
    (tmp_path / "service.py").write_text(
        "def app(environ, start):\n    start('200 OK', [])\n    return [b'ok']\n"
    )
    # A worker that is told to end before it listens to signals would otherwise have half a minute for it.
    own = (f"--bind=127.0.0.1:{free_port()}", "--graceful-timeout=1", "service:app")
    line = words("gunicorn", own, cpus, model=model)
    _check_workers(line, 1 if model == "threads" else len(cpus), cpus, tmp_path)


@pytest.mark.parametrize("cpus", [ONE, CPUS], ids=["one", "several"])
def test_uvicorns_workers_inherit_the_cpus(cpus: tuple[int, ...], tmp_path: Path) -> None:
    _needs_python("uvicorn", package="uvicorn")
    (tmp_path / "service.py").write_text("async def app(scope, receive, send):\n    pass\n")
    line = words("uvicorn", (f"--port={free_port()}", "service:app"), cpus, model="processes")
    # A single worker is the server itself; several come with multiprocessing's resource tracker.
    _check_workers(line, len(cpus) + 1 if len(cpus) > 1 else 0, cpus, tmp_path)


def _needs_python(module: str, *, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed (Debian package {package}, or from PyPI)")


def _check_workers(line: str, workers: int, cpus: tuple[int, ...], folder: Path) -> None:
    """So many workers, and each thread of them and of the server may use just these CPUs."""
    scripts = str(Path(sys.executable).parent)
    environment = {"PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    log = folder / "log"
    with running(["sh", "-c", f"exec {line}"], log, environment) as server:
        until(lambda: "Booting worker" in log.read_text() or "Started server" in log.read_text(), "a worker")
        until(lambda: len(children(server.pid)) == workers, f"{workers} workers")
        expected = {str(cpus[0]) if len(cpus) == 1 else ALL}
        assert allowed(server.pid, *children(server.pid)) == expected


def test_postgresql_takes_its_settings_and_keeps_to_its_cpus(open_path: Path) -> None:
    binaries = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    folder = open_path / "pg"
    folder.mkdir(mode=0o700)

    def pinned(command: str) -> str:
        return words("taskset", shlex.split(command))

    with postgresql(folder, binaries, words("postgresql", (), CPUS), pinned) as psql:
        assert said(f"{psql} -c 'show max_worker_processes' -c 'show max_parallel_workers'").split() == [
            str(len(CPUS)),
            str(len(CPUS)),
        ]
        server = int((folder / "data/postmaster.pid").read_text().split()[0])
        assert len(children(server)) >= 4
        assert allowed(server, *children(server)) == {str(ONE[0])}


_SPARK_APPLICATION = """
from pathlib import Path
from pyspark.sql import SparkSession

def may_use(_):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list"))

context = SparkSession.builder.getOrCreate().sparkContext
print(*sorted(set(context.parallelize(range(8), 8).map(may_use).collect())))
"""


@pytest.mark.parametrize("cpus", [ONE, CPUS], ids=["one CPU", "two CPUs"])
def test_spark_has_so_many_executors_and_cores_and_they_keep_to_their_cpus(
    open_path: Path, cpus: tuple[int, ...]
) -> None:
    needs("java", package="openjdk-17-jre-headless")
    needs("numactl", package="numactl")
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        pytest.skip("pyspark is not installed (from PyPI)")
    application = open_path / "application.py"
    application.write_text(_SPARK_APPLICATION)
    lines = [line for line in words("spark", [str(application)], cpus).splitlines() if line[0] != "#"]
    submit, worker = lines
    with spark(open_path, Path(found.origin).parent, worker) as environment:
        python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        printed = said(f"{submit} 2>{open_path}/submit.log", {**environment, **python})
    granted = re.findall(r"Granted executor .* with (\d+) core", (open_path / "submit.log").read_text())
    assert granted == [str(len(cpus))]
    assert printed == (str(cpus[0]) if len(cpus) == 1 else ALL)
