"""CPUs that the kernel was told to isolate are left alone, unless somebody names them or says so."""

from __future__ import annotations

import dataclasses

import pytest

import toposcope_probes
from toposcope.choices import measurable_cpus
from toposcope.cli._measuring import choice, choose_cpus
from toposcope.config import ProbeLimits
from toposcope.errors import UsageError
from toposcope.measure.plan import all_pairs, plan
from toposcope.topology.model import Machine, Node
from toposcope_probes.contract import TargetKind

_CPUS = tuple(range(8))
_MACHINE = Machine(
    is_this_system=True,
    online_cpus=_CPUS,
    allowed_cpus=_CPUS,
    isolated_cpus=(2, 3),
    packages=((0, 1, 2, 3), (4, 5, 6, 7)),
    cores=((0, 4), (1, 5), (2, 6), (3, 7)),
    numa_nodes=(Node(0, (0, 1, 2, 3), 1 << 34), Node(1, (4, 5, 6, 7), 1 << 34)),
)


def test_neither_the_daemon_nor_the_commands_choose_isolated_cpus() -> None:
    assert measurable_cpus(_MACHINE, ProbeLimits()) == (0, 1, 4, 5, 6, 7)
    assert choose_cpus(_MACHINE, None) == (0, 1, 4, 5, 6, 7)


def test_they_are_measured_where_somebody_says_so() -> None:
    assert measurable_cpus(_MACHINE, ProbeLimits(isolated_cpus=True)) == _CPUS
    assert choose_cpus(_MACHINE, "0,2-3") == (0, 2, 3)
    assert measurable_cpus(_MACHINE, ProbeLimits(cpus="1-3")) == (1,), "a list alone is no such word"


@pytest.mark.parametrize("spec", toposcope_probes.load_all(), ids=lambda spec: spec.name)
def test_no_probe_s_plan_touches_them(spec: toposcope_probes.contract.ProbeSpec) -> None:
    cpus = measurable_cpus(_MACHINE, ProbeLimits())
    tasks = list(plan(_MACHINE, [choice(spec)], cpus=cpus, interpreters=("python3",)))
    if spec.target is TargetKind.PAIR:
        tasks += all_pairs(_MACHINE, choice(spec), cpus)
    assert tasks
    assert not {2, 3}.intersection(cpu for task in tasks for cpu in task.identity.target.cpus)


def test_cpus_outside_the_cpuset_are_never_chosen_and_refused_by_name() -> None:
    machine = dataclasses.replace(_MACHINE, allowed_cpus=(0, 1, 2))
    assert choose_cpus(machine, None) == (0, 1)
    with pytest.raises(UsageError, match="CPU 4 is outside"):
        choose_cpus(machine, "0,4")
