"""Application servers, the JVM, PostgreSQL, Spark and YARN: counts of workers, below a wrapper that pins."""

from __future__ import annotations

from toposcope.advise.launchers.kernel import numactl, taskset
from toposcope.advise.launchers.launch import Launch
from toposcope.topology.cpulist import format_cpulist


def gunicorn(launch: Launch) -> str:
    """gunicorn pins nothing itself: the master is pinned, its workers inherit that."""
    if launch.model == "threads":
        options = f"--workers 1 --worker-class gthread --threads {launch.workers}"
    elif launch.model.startswith("coroutines"):
        options = f"--workers {launch.workers} --worker-class gevent"
    else:
        options = f"--workers {launch.workers} --worker-class sync"
    return f"taskset --cpu-list {launch.cpu_list} gunicorn {options} {launch.shell_command}"


def uvicorn(launch: Launch) -> str:
    """uvicorn: an event loop for each worker process."""
    return f"taskset --cpu-list {launch.cpu_list} uvicorn --workers {launch.workers} {launch.shell_command}"


def jvm(launch: Launch) -> str:
    """ActiveProcessorCount sizes its pools and collectors; UseNUMA only where several nodes are used."""
    numa = " -XX:+UseNUMA" if len(launch.nodes) > 1 else ""
    wrapper = numactl(
        Launch(launch.cpus, launch.nodes, launch.memory_policy, "threads", launch.machine, ("java",))
    )
    return f"{wrapper} -XX:ActiveProcessorCount={launch.workers}{numa} {launch.shell_command}"


def postgresql(launch: Launch) -> str:
    """postgresql.conf has no affinity: the service is pinned by systemd, the pools are sized to it."""
    return "\n".join((
        "# postgresql.conf; pin the service itself with the systemd lines",
        f"max_worker_processes = {launch.workers}",
        f"max_parallel_workers = {launch.workers}",
        f"max_parallel_workers_per_gather = {max(1, launch.workers // 2)}",
    ))  # fmt: skip


def spark(launch: Launch) -> str:
    """A standalone worker and an executor for each node, each with its CPUs and memory."""
    parts = launch.cpus_by_node
    cores = max(map(len, parts.values()))
    lines = [
        f"# {len(parts)} executors of {cores} cores",
        (
            f"spark-submit --conf spark.executor.instances={len(parts)} --conf spark.executor.cores={cores} "
            f"--conf spark.cores.max={launch.workers} {launch.shell_command}"
        ),
        "# a worker for each node, in place of start-worker.sh alone; MASTER is the master's address",
    ]
    for number, (node, cpus) in enumerate(parts.items()):
        pinned = format_cpulist(sorted(cpus))
        wrapper = (
            f"taskset --cpu-list {pinned}"
            if node is None
            else f"numactl --physcpubind={pinned} --membind={node}"
        )
        lines.append(f"SPARK_IDENT_STRING=node{number} {wrapper} "
                     f'"$SPARK_HOME"/sbin/start-worker.sh --cores {len(cpus)} MASTER')  # fmt: skip
    return "\n".join(lines)


def yarn(launch: Launch) -> str:
    """yarn-site.xml: as many vcores as CPUs; the node manager wraps containers in numactl (Hadoop 3.1)."""
    properties = {"yarn.nodemanager.resource.cpu-vcores": str(launch.workers)}
    if len(launch.machine.numa_nodes) > 1:
        properties |= {
            "yarn.nodemanager.numa-awareness.enabled": "true",
            "yarn.nodemanager.numa-awareness.read-topology": "true",
        }
    lines = [f"<!-- start the node manager itself as: {taskset(_daemon(launch))} -->", "<configuration>"]
    lines += [f"  <property><name>{name}</name><value>{value}</value></property>"
              for name, value in properties.items()]  # fmt: skip
    return "\n".join([*lines, "</configuration>"])


def _daemon(launch: Launch) -> Launch:
    words = ("yarn", "nodemanager")
    return Launch(launch.cpus, launch.nodes, launch.memory_policy, launch.model, launch.machine, words)
