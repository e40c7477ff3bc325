"""The same placement in the words of the launcher that someone has.

A launcher is a function from a `Launch` to text, in one of this package's modules; `LAUNCHERS` names them.
User strings (the command) are quoted for the shell wherever a shell will read them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from toposcope.advise.launchers import containers, kernel, parallel, services
from toposcope.advise.launchers.launch import Launch
from toposcope.errors import UsageError
from toposcope.topology.model import Machine

if TYPE_CHECKING:
    from toposcope.advise.answer import Placement

Launcher = Callable[[Launch], str]

LAUNCHERS: Final[dict[str, Launcher]] = {
    "taskset": kernel.taskset,
    "numactl": kernel.numactl,
    "systemd": kernel.systemd,
    "docker": containers.docker,
    "podman": containers.podman,
    "kubernetes": containers.kubernetes,
    "kubelet": containers.kubelet,
    "libvirt": containers.libvirt,
    "slurm": parallel.slurm,
    "openmp": parallel.openmp,
    "openmpi": parallel.openmpi,
    "gunicorn": services.gunicorn,
    "uvicorn": services.uvicorn,
    "jvm": services.jvm,
    "postgresql": services.postgresql,
    "spark": services.spark,
    "yarn": services.yarn,
}


def all_commands(placement: Placement, machine: Machine, command: Sequence[str]) -> dict[str, str]:
    """The text for every launcher."""
    launch = _launch(placement, machine, command)
    return {name: launcher(launch) for name, launcher in LAUNCHERS.items()}


def command_for(name: str, placement: Placement, machine: Machine, command: Sequence[str]) -> str:
    """The text for one launcher. Raises UsageError for an unknown one."""
    if name not in LAUNCHERS:
        raise UsageError(f"there are no words for {name[:40]!r}", f"known launchers: {', '.join(LAUNCHERS)}")
    return LAUNCHERS[name](_launch(placement, machine, command))


def _launch(placement: Placement, machine: Machine, command: Sequence[str]) -> Launch:
    return Launch(
        placement.cpus, placement.nodes, placement.memory_policy, placement.model, machine, tuple(command)
    )
