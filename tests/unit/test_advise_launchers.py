"""The launchers' words, tried on the launchers that can be had, and parsed where they can't."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from advise_machines import two_sockets
from toposcope.advise.launchers import LAUNCHERS
from toposcope.advise.launchers.launch import Launch
from toposcope.topology.model import Machine, Node

AWKWARD = ("printf", "%s|", "a b", "$HOME", "it's", '"q"', "", "ü\\n")
ECHOED = 'a b|$HOME|it\'s|"q"||ü\\n|'
TWO_SOCKETS = two_sockets()


def launch(
    cpus: tuple[int, ...] = (0, 2), nodes: tuple[int, ...] = (0,), policy: str = "bind", model: str = "threads",
    command: tuple[str, ...] = AWKWARD, machine: Machine = TWO_SOCKETS,
) -> Launch:  # fmt: skip
    return Launch(cpus, nodes, policy, model, machine, command)


def here(command: tuple[str, ...] = AWKWARD, policy: str = "default", model: str = "threads") -> Launch:
    """A placement on a CPU that this process may really use."""
    cpu = min(os.sched_getaffinity(0))
    machine = Machine(True, (cpu,), numa_nodes=(Node(0, (cpu,), None),))
    return Launch((cpu,), (0,), policy, model, machine, command)


def shell(text: str) -> str:
    return subprocess.run(["sh", "-c", text], check=True, capture_output=True, text=True).stdout


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize(("name", "policy"), [("taskset", "default"), ("numactl", "default"), ("numactl", "bind"),
                                              ("numactl", "local"), ("numactl", "interleave")])  # fmt: skip
def test_the_kernels_own_tools_bind_and_hand_on_every_word(name: str, policy: str) -> None:
    needs(name)
    assert shell(LAUNCHERS[name](here(policy=policy))) == ECHOED
    bound = ("sh", "-c", "grep Cpus_allowed_list /proc/self/status | cut -f2")
    assert shell(LAUNCHERS[name](here(bound, policy))).strip() == str(min(os.sched_getaffinity(0)))


def test_numactl_starts_a_process_for_each_node() -> None:
    text = LAUNCHERS["numactl"](launch((0, 2, 8, 10), (0, 1), "local", "process_per_node", ("true",)))
    assert text.splitlines() == [
        "numactl --physcpubind=0,2 --membind=0 true &",
        "numactl --physcpubind=8,10 --membind=1 true &",
        "wait",
    ]


def test_numactl_starts_a_process_for_each_l3_domain() -> None:
    text = LAUNCHERS["numactl"](launch((0, 2, 4, 6), (0,), "bind", "process_per_l3_domain", ("true",)))
    assert text.splitlines() == [
        "numactl --physcpubind=0,2 --membind=0 true &",
        "numactl --physcpubind=4,6 --membind=0 true &",
        "wait",
    ]


@pytest.mark.parametrize("policy", ["bind", "interleave", "local", "default"])
def test_systemd_accepts_the_lines(policy: str, tmp_path: Path) -> None:
    needs("systemd-analyze")
    unit = tmp_path / "advised.service"
    unit.write_text(LAUNCHERS["systemd"](launch(policy=policy)) + "\nExecStart=/bin/true\n")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "advised.service" not in done.stderr, done.stderr
    unit.write_text(unit.read_text().replace("CPUAffinity=0", "CPUAffinity=x"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "CPU" in done.stderr  # the check can fail


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_containers_get_their_cpus_and_memory(name: str) -> None:
    *remarks, text = LAUNCHERS[name](launch((0, 1, 2, 5), command=("true",))).splitlines()
    assert all(line.startswith("# ") for line in remarks)
    assert bool(remarks) is (name == "podman")  # rootless it may bind nothing
    assert text == f"{name} run --rm --cpuset-cpus=0-2,5 --cpuset-mems=0 IMAGE true"
    assert "mems" not in LAUNCHERS[name](launch(policy="local"))


def test_the_pod_is_guaranteed_and_its_command_survives_yaml() -> None:
    pod = yaml.safe_load(LAUNCHERS["kubernetes"](launch()))
    container = pod["spec"]["containers"][0]
    assert tuple(container["command"]) == AWKWARD
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["resources"]["limits"]["cpu"] == "2"


def test_kubelet_options_fit_the_placement() -> None:
    whole = yaml.safe_load(LAUNCHERS["kubelet"](launch((0, 1, 2, 3))))
    assert whole["cpuManagerPolicyOptions"] == {
        "full-pcpus-only": "true",
        "prefer-align-cpus-by-uncorecache": "true",
    }
    assert whole["topologyManagerPolicy"] == "single-numa-node"
    halves = yaml.safe_load(LAUNCHERS["kubelet"](launch((0, 8), (0, 1))))
    assert "cpuManagerPolicyOptions" not in halves  # full-pcpus-only would refuse half cores
    assert halves["topologyManagerPolicy"] == "best-effort"


def test_libvirt_elements_are_xml_and_keep_the_order() -> None:
    domain = ET.fromstring(f"<domain>{LAUNCHERS['libvirt'](launch((2, 0, 5)))}</domain>")
    assert [pin.get("cpuset") for pin in domain.iter("vcpupin")] == ["2", "0", "5"]
    assert domain.findtext("vcpu") == "3"
    memory = domain.find("numatune/memory")
    assert memory is not None
    assert (memory.get("mode"), memory.get("nodeset")) == ("strict", "0")


def test_slurm_maps_tasks_or_masks_threads() -> None:
    tasks = LAUNCHERS["slurm"](launch((2, 0, 5), model="processes"))
    assert tasks.startswith("salloc --exclusive --nodes=1 srun --whole --ntasks=3 --cpu-bind=map_cpu:2,0,5 ")
    threads = LAUNCHERS["slurm"](launch((2, 0, 5)))
    assert "--ntasks=1 --cpu-bind=mask_cpu:0x25 " in threads


def test_openmp_binds_thread_after_thread(tmp_path: Path) -> None:
    needs("gcc")
    source = tmp_path / "places.c"
    source.write_text(
        "#define _GNU_SOURCE\n#include <sched.h>\n#include <stdio.h>\n#include <omp.h>\n"
        "int main(void){\n#pragma omp parallel\n#pragma omp critical\n"
        'printf("%d:%d\\n", omp_get_thread_num(), sched_getcpu());return 0;}\n'
    )
    program = tmp_path / "places"
    built = subprocess.run(["gcc", "-fopenmp", "-o", program, source], capture_output=True, check=False)
    if built.returncode:
        pytest.skip("no OpenMP in this compiler")
    cpus = tuple(sorted(os.sched_getaffinity(0), reverse=True)[:2])
    machine = Machine(True, tuple(sorted(cpus)))
    text = LAUNCHERS["openmp"](Launch(cpus, (), "default", "threads", machine, (str(program),)))
    found = sorted(shell(text).split())
    assert found == [f"{thread}:{cpu}" for thread, cpu in enumerate(cpus)]


def test_openmpi_ranks_bind_themselves() -> None:
    """The part that the shell runs, with the variable that mpirun sets."""
    needs("taskset")
    text = LAUNCHERS["openmpi"](here())
    inner = text.split("--bind-to none ", 1)[1]
    assert shell(f"export OMPI_COMM_WORLD_LOCAL_RANK=0; {inner}") == ECHOED


def test_real_mpirun_accepts_it() -> None:
    needs("mpirun")
    text = LAUNCHERS["openmpi"](here(("true",)))
    shell(text.replace("mpirun", "mpirun --allow-run-as-root --oversubscribe", 1))


def test_yarn_properties_are_xml() -> None:
    site = ET.fromstring(LAUNCHERS["yarn"](launch((0, 8), (0, 1))).split("\n", 1)[1])
    values = {one.findtext("name"): one.findtext("value") for one in site.iter("property")}
    assert values["yarn.nodemanager.resource.cpu-vcores"] == "2"
    assert values["yarn.nodemanager.numa-awareness.enabled"] == "true"


def test_spark_has_a_worker_for_each_node() -> None:
    text = LAUNCHERS["spark"](launch((0, 2, 8, 10), (0, 1), command=("app.py",)))
    assert "--conf spark.executor.instances=2 --conf spark.executor.cores=2" in text
    assert "numactl --physcpubind=8,10 --membind=1" in text


@pytest.mark.parametrize("model", ["threads", "processes", "coroutines"])
def test_servers_count_what_the_model_says(model: str) -> None:
    text = LAUNCHERS["gunicorn"](launch((0, 2, 4), model=model, command=("app:app",)))
    expected = {"threads": "--workers 1 --worker-class gthread --threads 3", "processes": "--workers 3",
                "coroutines": "--worker-class gevent"}  # fmt: skip
    assert expected[model] in text
    assert "uvicorn --workers 3 app:app" in LAUNCHERS["uvicorn"](launch((0, 2, 4), command=("app:app",)))


def test_jvm_and_postgresql() -> None:
    assert "java -XX:ActiveProcessorCount=2 -jar x.jar" in LAUNCHERS["jvm"](launch(command=("-jar", "x.jar")))
    assert "-XX:+UseNUMA" in LAUNCHERS["jvm"](launch((0, 8), (0, 1)))
    assert "max_parallel_workers = 2" in LAUNCHERS["postgresql"](launch())


@pytest.mark.parametrize("name", sorted(LAUNCHERS))
def test_no_launcher_lets_the_shell_see_user_words(name: str) -> None:
    evil = launch(command=("x; touch owned", "$(reboot)", "`id`"))
    text = LAUNCHERS[name](evil)
    for word in evil.command:
        if word in text:
            assert f"'{word}'" in text or json.dumps(word) in text
