"""Slurm, OpenMP and Open MPI."""

from __future__ import annotations

from toposcope.advise.launchers.launch import Launch


def slurm(launch: Launch) -> str:
    """`salloc` and `srun`: a task each, mapped by CPU id, or one task with all CPUs in its mask.

    The node has to be the job's own, and the whole node the step's: else a step gets the first CPUs of its
    job (`srun --exclusive` and `--cpus-per-task` mean `--exact`), and Slurm refuses to bind to any other
    (seen with 22.05). In a batch script with `#SBATCH --exclusive` the part from `srun` on is enough.
    """
    memory = " --mem-bind=local" if launch.memory_policy in ("local", "bind") else ""
    if launch.model == "processes":
        bind = f"--ntasks={launch.workers} --cpu-bind=map_cpu:{launch.cpus_in_order}"
    else:
        mask = sum(1 << cpu for cpu in launch.cpus)
        bind = f"--ntasks=1 --cpu-bind=mask_cpu:0x{mask:x}"
    return f"salloc --exclusive --nodes=1 srun --whole {bind}{memory} {launch.shell_command}"


def openmp(launch: Launch) -> str:
    """OMP_PLACES lists the CPUs in binding order; `close` puts thread i on place i (OpenMP 5.2, 6.5)."""
    places = ",".join(f"{{{cpu}}}" for cpu in launch.cpus)
    return (
        f"OMP_NUM_THREADS={launch.workers} OMP_PLACES='{places}' OMP_PROC_BIND=close {launch.shell_command}"
    )


def openmpi(launch: Launch) -> str:
    """`mpirun` with a CPU for each local rank.

    Its own options for CPU lists changed between 4 and 5, and count CPUs logically; so it is told not to
    bind, and each rank binds itself by OMPI_COMM_WORLD_LOCAL_RANK, which all versions set.
    """
    pick = "$((OMPI_COMM_WORLD_LOCAL_RANK + 1))"
    script = f'cpu=$(echo {launch.cpus_in_order} | cut -d, -f{pick}) && exec taskset -c "$cpu" "$@"'
    return f"mpirun -np {launch.workers} --bind-to none sh -c '{script}' sh {launch.shell_command}"
