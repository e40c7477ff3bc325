"""From a view to samples, in parts that are kept while what they are made of stays the same.

A visit changes a handful of parts of a thousand, so that rendering after it costs a few milliseconds where
all parts together cost hundreds. What results say is in `grouped`, what measuring cost in `work`.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator, Sequence
from typing import get_args

from toposcope import __version__
from toposcope.groups import DOMAIN_LEVELS, domains_of_cpus
from toposcope.judgements import AGREEMENT_STATES, CLAIM_VERDICTS, Judgements
from toposcope.measure.drift import State
from toposcope.measure.watch import GroupStanding
from toposcope.metrics import catalogue
from toposcope.metrics.family import Limit, Part, Samples
from toposcope.metrics.grouped import domain_pair_parts, result_parts
from toposcope.metrics.work import work_parts
from toposcope.topology.model import Distances, Machine, Partition
from toposcope.view import Source, View


def parts(view: View) -> list[Part]:
    """All parts of a view, in the order of the catalogue; what is beyond a limit is in none of them."""
    limits = [
        Limit("cpus", catalogue.CPU_SERIES_MAX),
        Limit("node_distances", catalogue.DISTANCE_SERIES_MAX),
        Limit("results", catalogue.RESULT_SERIES_MAX),
        Limit("domain_pairs", catalogue.DOMAIN_PAIR_SERIES_MAX),
    ]
    cpus, distances, results, pairs = limits
    found = [
        _machine_part(view.machine, view.fingerprint, view.mode),
        _cpu_part(view.machine, cpus),
        *_distance_parts(view.machine.distances, distances),
        *result_parts(view.groups(), results),
        *domain_pair_parts(view.domain_pairs(), pairs),
        Part("placement", view.placement, functools.partial(_add_placement, view.placement)),
        Part("judgements", view.judgements, functools.partial(_add_judgements, view.judgements)),
        *work_parts(view),
    ]
    left_out = tuple((limit.part, limit.left_out) for limit in limits)
    return [*found, Part("left out", left_out, functools.partial(_add_left_out, left_out))]


def collect(view: View) -> Samples:
    """All samples of a view."""
    samples = Samples()
    for part in parts(view):
        part.add(samples)
    return samples


def _machine_part(machine: Machine, fingerprint: str, mode: Source) -> Part:
    def add(samples: Samples) -> None:
        settings = {name: value for name, value in machine.settings if value is not None}
        samples.add(catalogue.BUILD, 1, version=__version__, python=platform.python_version())
        samples.add(catalogue.REPLAY, float(mode == "replay"))
        facts = {name: settings.get(name) for name in ("cpu_model", "hypervisor", "architecture")}
        samples.add(catalogue.MACHINE, 1, fingerprint=fingerprint, mode=mode, **facts)
        samples.add(catalogue.SETTING, 1, **{name: settings.get(name) for name in catalogue.SETTING.labels})
        _add_sets(samples, machine)
        for node in machine.numa_nodes:
            if node.memory_bytes is not None:
                samples.add(catalogue.NODE_MEMORY, node.memory_bytes, node=node.id)
        samples.add(catalogue.DOUBTS, len(machine.doubts))

    return Part("machine", (machine, fingerprint, mode), add)


def _add_sets(samples: Samples, machine: Machine) -> None:
    levels = {"package": machine.packages, "die": machine.dies, "cluster": machine.clusters,
              "l3": machine.cache_partition(3), "core": machine.cores}  # fmt: skip
    for level, partition in levels.items():
        if partition is not None:
            samples.add(catalogue.SETS, len(partition), level=level)
    samples.add(catalogue.SETS, len(machine.numa_nodes), level="node")
    samples.add(catalogue.SETS, len(machine.online_cpus), level="cpu")


def _cpu_part(machine: Machine, limit: Limit) -> Part:
    shown = [cpu for cpu in machine.online_cpus if limit.take(1)]

    def add(samples: Samples) -> None:
        l3_of, node_of = (domains_of_cpus(machine, level) for level in DOMAIN_LEVELS)
        core_of = _first_cpus(machine.cores)
        package_of = {cpu: index for index, cpus in enumerate(machine.packages or ()) for cpu in cpus}
        for cpu in shown:
            samples.add(catalogue.CPU, 1, cpu=cpu, core=core_of.get(cpu), l3=l3_of.get(cpu),
                        node=node_of.get(cpu), package=package_of.get(cpu))  # fmt: skip

    return Part("cpus", machine, add)


def _first_cpus(partition: Partition | None) -> dict[int, int]:
    return {cpu: cpus[0] for cpus in partition or () for cpu in cpus}


def _distance_parts(distances: Distances | None, limit: Limit) -> Iterator[Part]:
    if distances is None:
        return
    for source, row in zip(distances.nodes, distances.matrix, strict=True):
        if limit.take(len(row)):
            add = functools.partial(_add_distances, source, distances.nodes, row)
            yield Part(("distances", source), (distances.nodes, row), add)


def _add_distances(source: int, nodes: Sequence[int], row: Sequence[int], samples: Samples) -> None:
    for target, distance in zip(nodes, row, strict=True):
        samples.add(catalogue.NODE_DISTANCE, distance, node=source, other_node=target)


def _add_placement(placement: str, samples: Samples) -> None:
    if placement != "unknown":
        samples.add(catalogue.PLACEMENT, float(placement == "stable"))


def _add_judgements(judgements: Judgements, samples: Samples) -> None:
    for claim in judgements.claims:
        for verdict in CLAIM_VERDICTS:
            value = float(claim.verdict == verdict)
            samples.add(catalogue.CLAIM_VERDICT, value, claim=claim.claim, verdict=verdict)
        low, high = claim.interval or (None, None)
        for stat, ratio in (("estimate", claim.ratio), ("low", low), ("high", high)):
            if ratio is not None:
                samples.add(catalogue.CLAIM_RATIO, ratio, claim=claim.claim, stat=stat)
    _add_agreement(judgements, samples)
    _add_drift(judgements, samples)
    for check, count in judgements.audit_findings.items():
        samples.add(catalogue.AUDIT, count, check=check)
    if judgements.self_test_regret_ratio is not None:
        samples.add(catalogue.SELF_TEST, judgements.self_test_regret_ratio)
    if judgements.self_test_time_s is not None:
        samples.add(catalogue.SELF_TEST_TIME, judgements.self_test_time_s)


def _add_agreement(judgements: Judgements, samples: Samples) -> None:
    for relation, state in judgements.agreement.items():
        for each in AGREEMENT_STATES:
            samples.add(catalogue.AGREEMENT, float(state == each), relation=relation, state=each)
    for level in judgements.declared.levels if judgements.declared else ():
        if level.agreement is not None:
            samples.add(catalogue.AGREEMENT_RATIO, level.agreement, relation=level.level)
        samples.add(catalogue.DISAGREEING, len(level.disagreeing_cpus), relation=level.level)


def _add_drift(judgements: Judgements, samples: Samples) -> None:
    for relation, count in judgements.drifted.items():
        samples.add(catalogue.DRIFTED, count, relation=relation)
    for group in judgements.drift_groups:
        _add_drift_group(group, samples)


def _add_drift_group(group: GroupStanding, samples: Samples) -> None:
    variant = group.variant.split(",")
    model = next((each for each in variant if each.startswith("model=")), "")
    labels = {
        "probe": group.probe,
        "model": model.removeprefix("model="),
        "variant": ",".join(each for each in variant if each != model),
        "relation": group.relation,
    }
    for state in get_args(State):
        samples.add(catalogue.DRIFT_STATE, float(group.state == state), state=state, **labels)
    if group.variation_ratio is not None:
        samples.add(catalogue.DRIFT_VARIATION, group.variation_ratio, **labels)
    if group.changed_s is not None:
        samples.add(catalogue.DRIFT_CHANGED, group.changed_s, **labels)


def _add_left_out(left_out: Sequence[tuple[str, int]], samples: Samples) -> None:
    for part, series in left_out:
        samples.add(catalogue.LEFT_OUT, series, part=part)
