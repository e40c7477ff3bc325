"""From a view to samples: what the machine is and what was found on it. What it cost is in `work`."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping

import toposcope_probes
from toposcope import __version__, units
from toposcope.groups import DOMAIN_LEVELS, DomainPair, Group, domains_of_cpus
from toposcope.judgements import AGREEMENT_STATES, CLAIM_VERDICTS, Judgements
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.metrics import catalogue
from toposcope.metrics.family import Family, Limit, Samples
from toposcope.metrics.work import add_work
from toposcope.results import VERDICTS, Estimate
from toposcope.topology.model import Machine, Partition
from toposcope.view import View


def collect(view: View) -> Samples:
    """All samples of a view, in the order of the catalogue."""
    samples = Samples()
    limits = [
        Limit("cpus", catalogue.CPU_SERIES_MAX),
        Limit("node_distances", catalogue.DISTANCE_SERIES_MAX),
        Limit("results", catalogue.RESULT_SERIES_MAX),
        Limit("domain_pairs", catalogue.DOMAIN_PAIR_SERIES_MAX),
    ]
    cpus, distances, results, pairs = limits
    _add_machine(samples, view)
    _add_cpus(samples, view.machine, cpus)
    _add_nodes(samples, view.machine, distances)
    _add_results(samples, view.groups(), results)
    _add_domain_pairs(samples, view.domain_pairs(), pairs)
    if view.placement != "unknown":
        samples.add(catalogue.PLACEMENT, float(view.placement == "stable"))
    _add_judgements(samples, view.judgements)
    add_work(samples, view)
    for limit in limits:
        samples.add(catalogue.LEFT_OUT, limit.left_out, part=limit.part)
    return samples


def _add_machine(samples: Samples, view: View) -> None:
    machine = view.machine
    settings = {name: value for name, value in machine.settings if value is not None}
    samples.add(catalogue.BUILD, 1, version=__version__, python=platform.python_version())
    samples.add(catalogue.REPLAY, float(view.mode == "replay"))
    facts = {name: settings.get(name) for name in ("cpu_model", "hypervisor", "architecture")}
    samples.add(catalogue.MACHINE, 1, fingerprint=view.fingerprint, mode=view.mode, **facts)
    samples.add(catalogue.SETTING, 1, **{name: settings.get(name) for name in catalogue.SETTING.labels})
    levels = {"package": machine.packages, "die": machine.dies, "cluster": machine.clusters,
              "l3": machine.cache_partition(3), "core": machine.cores}  # fmt: skip
    for level, partition in levels.items():
        if partition is not None:
            samples.add(catalogue.SETS, len(partition), level=level)
    samples.add(catalogue.SETS, len(machine.numa_nodes), level="node")
    samples.add(catalogue.SETS, len(machine.online_cpus), level="cpu")
    samples.add(catalogue.DOUBTS, len(machine.doubts))


def _add_cpus(samples: Samples, machine: Machine, limit: Limit) -> None:
    l3_of, node_of = (domains_of_cpus(machine, level) for level in DOMAIN_LEVELS)
    core_of = _first_cpus(machine.cores)
    package_of = {cpu: index for index, cpus in enumerate(machine.packages or ()) for cpu in cpus}
    for cpu in machine.online_cpus:
        if limit.take(1):
            samples.add(catalogue.CPU, 1, cpu=cpu, core=core_of.get(cpu), l3=l3_of.get(cpu),
                        node=node_of.get(cpu), package=package_of.get(cpu))  # fmt: skip


def _first_cpus(partition: Partition | None) -> dict[int, int]:
    return {cpu: cpus[0] for cpus in partition or () for cpu in cpus}


def _add_nodes(samples: Samples, machine: Machine, limit: Limit) -> None:
    for node in machine.numa_nodes:
        if node.memory_bytes is not None:
            samples.add(catalogue.NODE_MEMORY, node.memory_bytes, node=node.id)
    distances = machine.distances
    if distances is not None:
        for source, row in zip(distances.nodes, distances.matrix, strict=True):
            if not limit.take(len(row)):
                continue
            for target, distance in zip(distances.nodes, row, strict=True):
                samples.add(catalogue.NODE_DISTANCE, distance, node=source, other_node=target)


def _add_results(samples: Samples, groups: Iterable[Group], limit: Limit) -> None:
    for group in groups:
        spec = toposcope_probes.find(group.key.probe)
        if spec is None:  # a result of a probe that this installation doesn't have
            continue
        labels = _target_labels(group)
        for measure in spec.measures:
            values = _values(group, measure.name)
            if values and limit.take(len(values) * len(catalogue.STATS)):
                family = catalogue.result_family(spec, measure)
                _add_values(samples, family, labels, measure.name, values, catalogue.STATS)
        for verdict in VERDICTS:
            samples.add(catalogue.VERDICT, float(group.verdict == verdict), **labels, verdict=verdict)
        samples.add(catalogue.TARGETS, group.results, **labels)
        if group.last_success_time_s is not None:
            samples.add(catalogue.SUCCESS, group.last_success_time_s, **labels)
        for index, mode in enumerate(group.modes):
            samples.add(catalogue.MODE_SHARE, mode.share, mode=index, **labels)


def _values(group: Group, measure: str) -> list[Estimate]:
    """A measure's values, one a mode: never a pooled value of several modes."""
    if group.modes and measure == group.key.measure:
        return [mode.value for mode in group.modes]
    return [group.estimates[measure]] if measure in group.estimates else []


def _add_values(
    samples: Samples,
    family: Family,
    labels: Mapping[str, object],
    measure: str,
    values: Iterable[Estimate],
    stats: Iterable[str],
) -> None:
    factor = units.to_base(measure, 1.0)
    for mode, estimate in enumerate(values):
        for stat in stats:
            samples.add(family, factor * getattr(estimate, stat), **labels, mode=mode, stat=stat)


def _probe_labels(group: Group) -> dict[str, object]:
    variant = dict(group.key.variant)
    model = variant.pop("model", None)
    rest = ",".join(f"{name}={value}" for name, value in variant.items())
    return {"probe": group.key.probe, "model": model, "variant": rest}


def _target_labels(group: Group) -> dict[str, object]:
    key = group.key
    return _probe_labels(group) | {
        "relation": key.relation,
        "core_set": key.core_set,
        "cpu_node": key.cpu_node,
        "node": key.node,
        "interpreter": key.interpreter,
    }


def _add_domain_pairs(samples: Samples, pairs: Iterable[DomainPair], limit: Limit) -> None:
    """The matrix's own probe first, so that a limit takes the others' pairs before it."""
    ordered = sorted(pairs, key=lambda pair: pair.group.key.probe != MATRIX_PROBE)
    detailed = {level: _count_domains(ordered, level) <= catalogue.DETAILED_DOMAINS_MAX
                for level in DOMAIN_LEVELS}  # fmt: skip
    verdicts: dict[tuple[tuple[str, object], ...], int] = {}
    for pair in ordered:
        spec = toposcope_probes.find(pair.group.key.probe)
        if spec is None:
            continue
        labels = _probe_labels(pair.group) | {"level": pair.level}
        counted = tuple({**labels, "verdict": pair.group.verdict}.items())
        verdicts[counted] = verdicts.get(counted, 0) + 1
        labels |= {"domain": pair.domain, "other_domain": pair.other_domain}
        stats = catalogue.STATS if detailed[pair.level] else catalogue.STATS[:1]
        measure = spec.measures[0].name
        values = _values(pair.group, measure)
        if values and limit.take(len(values) * len(stats)):
            _add_values(samples, catalogue.pair_family(spec), labels, measure, values, stats)
        time_s = pair.group.last_success_time_s
        if detailed[pair.level] and time_s is not None and limit.take(1):
            samples.add(catalogue.PAIR_SUCCESS, time_s, **labels)
    for key, count in verdicts.items():
        samples.add(catalogue.PAIR_VERDICTS, count, **dict(key))


def _count_domains(pairs: Iterable[DomainPair], level: str) -> int:
    return len(set(_domains(pairs, level)))


def _domains(pairs: Iterable[DomainPair], level: str) -> Iterator[int]:
    for pair in pairs:
        if pair.level == level:
            yield from (pair.domain, pair.other_domain)


def _add_judgements(samples: Samples, judgements: Judgements) -> None:
    for claim in judgements.claims:
        for verdict in CLAIM_VERDICTS:
            value = float(claim.verdict == verdict)
            samples.add(catalogue.CLAIM_VERDICT, value, claim=claim.claim, verdict=verdict)
        low, high = claim.interval or (None, None)
        for stat, ratio in (("estimate", claim.ratio), ("low", low), ("high", high)):
            if ratio is not None:
                samples.add(catalogue.CLAIM_RATIO, ratio, claim=claim.claim, stat=stat)
    for relation, state in judgements.agreement.items():
        for each in AGREEMENT_STATES:
            samples.add(catalogue.AGREEMENT, float(state == each), relation=relation, state=each)
    for relation, count in judgements.drifted.items():
        samples.add(catalogue.DRIFTED, count, relation=relation)
    for check, count in judgements.audit_findings.items():
        samples.add(catalogue.AUDIT, count, check=check)
    if judgements.self_test_regret_ratio is not None:
        samples.add(catalogue.SELF_TEST, judgements.self_test_regret_ratio)
    if judgements.self_test_time_s is not None:
        samples.add(catalogue.SELF_TEST_TIME, judgements.self_test_time_s)
