"""Servers that the launchers' tests start for a moment: Slurm on loopback, a docker engine, libvirt's, PostgreSQL.

Each lies wholly below a folder of its own and ends with its context, by process, not by name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

_LIMIT_S = 20.0


def needs(*programs: str, package: str) -> None:
    """Skip unless all of them can be found; `package` is Debian's name."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for program in programs:
        if shutil.which(program, path=path) is None:
            pytest.skip(f"{program} is not installed (Debian package {package})")


def needs_root(what: str) -> None:
    """Skip unless this is root."""
    if os.getuid() != 0:
        pytest.skip(f"{what} needs root")


def free_port() -> int:
    """A port on loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it. Raises TimeoutError."""
    end_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(what)
        time.sleep(0.05)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None,
    end_by: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:  # fmt: skip
    """A server in the foreground; what it says goes to `log`."""
    path = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with log.open("ab") as said, subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
        env={**os.environ, **path, **(environment or {})},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.send_signal(end_by)
            try:
                process.wait(_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def said(command: str, environment: Mapping[str, str] | None = None) -> str:
    """What a shell's command prints, without white space around it. Raises AssertionError where it fails."""
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def allowed(*pids: int) -> set[str]:
    """The lists of allowed CPUs of all threads of these processes, without those that ended meanwhile."""
    found = set()
    for status in [file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/status")]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = status.read_text().splitlines()
            found |= {line.split()[1] for line in lines if line.startswith("Cpus_allowed_list")}
    return found


def children(pid: int) -> list[int]:
    """The processes that it started and that still live."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


_SLURM = """ClusterName=one
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/control.pid
SlurmdPidFile={folder}/node.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1
PartitionName=all Nodes=ALL Default=YES State=UP
"""


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster of this host alone; yields the environment in which its commands find it."""
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir()
    (folder / "munge/key").write_bytes(os.urandom(1024))
    (folder / "munge/key").chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(
        _SLURM.format(
            host=host, folder=folder, control=free_port(), node=free_port(), cpus=os.cpu_count() or 1
        )
    )
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    munge = folder / "munge"
    munged = ["munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={munge}/key",
              f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"]  # fmt: skip
    with running(munged, munge / "out"):
        until((munge / "socket").exists, "munged's socket")
        with (
            running(["slurmctld", "-D", "-i"], folder / "control.log", environment),
            running(["slurmd", "-D"], folder / "node.log", environment),
        ):
            until(lambda: "idle" in _state(environment), "slurmd's node")
            yield environment


def _state(environment: Mapping[str, str]) -> str:
    done = subprocess.run(["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})  # fmt: skip
    return done.stdout


# What the engine keeps outside the folders it is given goes to mounts that only it sees.
_DOCKERD = """for kept in /run /opt /etc/docker; do
  [ ! -d $kept ] || mount -t tmpfs tmpfs $kept || exit 77
done
exec dockerd "$@"
"""


@contextlib.contextmanager
def docker(folder: Path) -> Iterator[dict[str, str]]:
    """An engine with neither a network nor rules of its own; yields the environment in which its client finds it.
    Skips where no such engine can be had.
    """
    group = f"/toposcope-{os.getpid()}"
    (folder / "daemon.json").write_text("{}")
    serve = ["unshare", "--mount", "--net", "sh", "-c", _DOCKERD, "dockerd",
             f"--host=unix://{folder}/socket", f"--config-file={folder}/daemon.json", f"--data-root={folder}/data",
             f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", "--storage-driver=vfs", "--bridge=none",
             "--iptables=false", "--ip6tables=false", "--ip-forward=false",
             "--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent={group}"]  # fmt: skip
    log = folder / "log"
    try:
        with running(serve, log) as engine:
            until(
                lambda: engine.poll() is not None or "API listen on" in log.read_text(), "the engine's socket"
            )
            if engine.poll() is not None:
                pytest.skip(f"dockerd can't start here: {log.read_text().strip()[-200:]}")
            yield {"DOCKER_HOST": f"unix://{folder}/socket", "DOCKER_CONFIG": str(folder)}
    finally:
        # The engine leaves the parent of its containers' groups, empty, in every hierarchy.
        for left in [*Path("/sys/fs/cgroup").glob(f"*{group}"), Path(f"/sys/fs/cgroup{group}")]:
            with contextlib.suppress(OSError):
                left.rmdir()


@contextlib.contextmanager
def libvirt(folder: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """A libvirtd of an unprivileged user; yields the environment and the words that make one that user."""
    switch = []
    if os.getuid() == 0:
        switch = ["runuser", "-u", "nobody", "--"]
        shutil.chown(folder, "nobody")
    (folder / "config/libvirt").mkdir(parents=True)
    # Else it starts a virtlogd, which would stay.
    (folder / "config/libvirt/qemu.conf").write_text('stdio_handler = "file"\n')
    environment = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_CONFIG_HOME": f"{folder}/config",
                   "XDG_CACHE_HOME": f"{folder}/cache", "XDG_DATA_HOME": f"{folder}/data"}  # fmt: skip
    if os.getuid() == 0:
        for path in (folder / "config", folder / "config/libvirt", folder / "config/libvirt/qemu.conf"):
            shutil.chown(path, "nobody")
    with running([*switch, "/usr/sbin/libvirtd"], folder / "log", environment):
        until((folder / "libvirt/libvirt-sock").exists, "libvirtd's socket")
        yield environment, switch


@contextlib.contextmanager
def postgresql(folder: Path, binaries: Path, settings: str, start: Callable[[str], str]) -> Iterator[str]:
    """A fresh server; `start` makes the line that starts it from its own command. Yields psql's command."""
    switch = ""
    if os.getuid() == 0:
        switch = "runuser -u postgres -- "
        shutil.chown(folder, "postgres")
    data = folder / "data"
    said(f"cd / && {switch}{binaries}/initdb --no-sync --auth=trust -D {data}")
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"\n{settings}\nlisten_addresses = ''\nunix_socket_directories = '{folder}'\n")
    line = f"cd / && exec {switch}{start(f'{binaries}/postgres -D {data}')}"
    with running(["sh", "-c", line], folder.with_suffix(".log")):
        psql = f"cd / && {switch}psql -h {folder} -At postgres"
        until((folder / ".s.PGSQL.5432").exists, "PostgreSQL's socket")
        until(lambda: subprocess.run(["sh", "-c", f"{psql} -c 'select 1'"], capture_output=True,
                                     check=False).returncode == 0, "PostgreSQL's answer")  # fmt: skip
        yield psql


_START_WORKER = """#!/bin/sh
# As Spark's own, which its Python package leaves out.
exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --webui-port 0 "$@"
"""


@contextlib.contextmanager
def spark(folder: Path, installed: Path, worker: str) -> Iterator[Mapping[str, str]]:
    """A standalone master on loopback and a worker that is started by the shell's words `worker` (MASTER is its
    address there). Yields the environment in which `spark-submit` finds them.
    """
    home = folder / "spark"
    (home / "sbin").mkdir(parents=True)
    for part in ("bin", "jars"):
        (home / part).symlink_to(installed / part)
    (home / "sbin/start-worker.sh").write_text(_START_WORKER)
    (home / "sbin/start-worker.sh").chmod(0o755)
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    (folder / "spark-defaults.conf").write_text(
        f"spark.master {master}\nspark.ui.enabled false\nspark.driver.host 127.0.0.1\n"
        "spark.driver.bindAddress 127.0.0.1\n"
    )
    environment = {
        "SPARK_HOME": str(home), "SPARK_CONF_DIR": str(folder), "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_LOCAL_IP": "127.0.0.1", "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
    }  # fmt: skip
    serve = [home / "bin/spark-class", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1",
             "--port", str(port), "--webui-port", "0"]  # fmt: skip
    log, pinned = folder / "master.log", worker.replace("MASTER", master)
    with running(serve, log, environment):
        until(lambda: "I have been elected leader" in log.read_text(), "Spark's master")
        # The shell gives way to the worker, which then ends with this context.
        with running(["bash", "-c", f"exec env {pinned}"], folder / "worker.log", environment):
            until(lambda: "Registering worker" in log.read_text(), "Spark's worker")
            yield environment
