"""docker, podman, Kubernetes and libvirt."""

from __future__ import annotations

import json

from toposcope.advise.launchers.launch import Launch


def docker(launch: Launch) -> str:
    """`docker run`: IMAGE stands for the image."""
    return _run("docker", launch)


def podman(launch: Launch) -> str:
    """`podman run`: IMAGE stands for the image. Rootless, podman 4.3 may drop the words in silence."""
    return "\n".join((
        "# Not as root this needs cgroup v2, a session of systemd and cpuset delegated to the user,",
        "# or podman may take any CPU. Cpus_allowed_list in its /proc/self/status tells.",
        _run("podman", launch),
    ))  # fmt: skip


def _run(program: str, launch: Launch) -> str:
    memory = f" --cpuset-mems={launch.node_list}" if launch.memory_policy in ("bind", "interleave") else ""
    return f"{program} run --rm --cpuset-cpus={launch.cpu_list}{memory} IMAGE {launch.shell_command}"


def kubernetes(launch: Launch) -> str:
    """A Guaranteed pod: whole CPUs, requests equal to limits. A pod can't name CPUs: the kubelet chooses."""
    words = ", ".join(json.dumps(word, ensure_ascii=False) for word in launch.command)
    return "\n".join((
        "# The kubelet gives this pod CPUs of its own only with cpuManagerPolicy static (see kubelet).",
        "apiVersion: v1",
        "kind: Pod",
        "metadata:",
        "  name: NAME",
        "spec:",
        "  containers:",
        "  - name: NAME",
        "    image: IMAGE",
        f"    command: [{words}]",
        "    resources:",
        f'      requests: {{cpu: "{launch.workers}", memory: MEMORY}}',
        f'      limits: {{cpu: "{launch.workers}", memory: MEMORY}}',
    ))  # fmt: skip


def kubelet(launch: Launch) -> str:
    """KubeletConfiguration fields with which such a pod lands inside one domain."""
    one_domain = len(launch.cpus_by_domain) == 1
    options = {}
    if _takes_whole_cores(launch):
        options["full-pcpus-only"] = "true"
    if one_domain and len(launch.machine.cache_partition(3) or ()) > 1:
        options["prefer-align-cpus-by-uncorecache"] = "true"
    policy = "single-numa-node" if len(launch.nodes) == 1 else "best-effort"
    lines = [
        "apiVersion: kubelet.config.k8s.io/v1beta1",
        "kind: KubeletConfiguration",
        "cpuManagerPolicy: static",
    ]
    if options:
        lines.append("cpuManagerPolicyOptions:")
        lines += [f'  {name}: "{value}"' for name, value in options.items()]
    lines += [
        f"topologyManagerPolicy: {policy}",
        "topologyManagerScope: pod",
        'reservedSystemCPUs: "RESERVED"  # the static policy needs some: CPUs that no pod gets',
    ]
    return "\n".join(lines)


def _takes_whole_cores(launch: Launch) -> bool:
    """Whether the CPUs come in whole cores; else full-pcpus-only would refuse the pod."""
    chosen = set(launch.cpus)
    cores = [set(core) for core in launch.machine.cores or () if set(core) & chosen]
    return bool(cores) and all(core <= chosen for core in cores)


def libvirt(launch: Launch) -> str:
    """Elements of a domain's XML: a vCPU each, in binding order; the emulator stays on the same CPUs."""
    pins = (f"  <vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>" for vcpu, cpu in enumerate(launch.cpus))
    lines = [
        f"<vcpu placement='static' cpuset='{launch.cpu_list}'>{launch.workers}</vcpu>",
        "<cputune>",
        *pins,
        f"  <emulatorpin cpuset='{launch.cpu_list}'/>",
        "</cputune>",
    ]
    if launch.memory_policy in ("bind", "interleave"):
        mode = "strict" if launch.memory_policy == "bind" else "interleave"
        lines += ["<numatune>", f"  <memory mode='{mode}' nodeset='{launch.node_list}'/>", "</numatune>"]
    return "\n".join(lines)
