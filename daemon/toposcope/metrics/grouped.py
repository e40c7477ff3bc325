"""What results say, as parts: by relation, core set or nodes, and by pairs of domains."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import toposcope_probes
from toposcope import units
from toposcope.groups import DOMAIN_LEVELS, DomainLevel, DomainPair, Group, GroupKey
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.metrics import catalogue
from toposcope.metrics.family import Family, Limit, Part, Samples
from toposcope.results import VERDICTS, Estimate, Verdict
from toposcope_probes.contract import ProbeSpec

_Counted = tuple[GroupKey, DomainLevel, Verdict]


def result_parts(groups: Iterable[Group], limit: Limit) -> Iterator[Part]:
    """A part a group: its verdict, and its values where they still fit."""
    specs = _specs()
    for group in groups:
        spec = specs.get(group.key.probe)
        standing = len(VERDICTS) + 1 + (group.last_success_time_s is not None) + len(group.modes)
        # None: a result of a probe that this installation doesn't have.
        if spec is None or not limit.take(standing):
            continue
        measures = tuple(
            measure.name
            for measure in spec.measures
            if (values := _values(group, measure.name)) and limit.take(len(values) * len(catalogue.STATS))
        )
        yield Part(
            ("group", group.key), (group, measures), functools.partial(_add_group, spec, group, measures)
        )


def _specs() -> dict[str, ProbeSpec]:
    return {spec.name: spec for spec in toposcope_probes.load_all()}


def _add_group(spec: ProbeSpec, group: Group, measures: Sequence[str], samples: Samples) -> None:
    labels = _target_labels(group)
    for measure in spec.measures:
        if measure.name in measures:
            family = catalogue.result_family(spec, measure)
            values = _values(group, measure.name)
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


def _probe_labels(key: GroupKey) -> dict[str, object]:
    variant = dict(key.variant)
    model = variant.pop("model", None)
    rest = ",".join(f"{name}={value}" for name, value in variant.items())
    return {"probe": key.probe, "model": model, "variant": rest}


def _target_labels(group: Group) -> dict[str, object]:
    key = group.key
    return _probe_labels(key) | {
        "relation": key.relation,
        "core_set": key.core_set,
        "cpu_node": key.cpu_node,
        "node": key.node,
        "interpreter": key.interpreter,
    }


def domain_pair_parts(pairs: Iterable[DomainPair], limit: Limit) -> Iterator[Part]:
    """A part a pair of domains, then one that counts pairs by verdict.

    The matrix's own probe comes first, so that a limit takes the others' pairs before it.
    """
    ordered = sorted(pairs, key=lambda pair: pair.group.key.probe != MATRIX_PROBE)
    detailed = {level: _count_domains(ordered, level) <= catalogue.DETAILED_DOMAINS_MAX
                for level in DOMAIN_LEVELS}  # fmt: skip
    verdicts: dict[_Counted, int] = {}
    specs = _specs()
    for pair in ordered:
        spec = specs.get(pair.group.key.probe)
        if spec is None:
            continue
        counted = (pair.group.key, pair.level, pair.group.verdict)
        verdicts[counted] = verdicts.get(counted, 0) + 1
        stats = catalogue.STATS if detailed[pair.level] else catalogue.STATS[:1]
        values = _values(pair.group, spec.measures[0].name)
        fits = bool(values) and limit.take(len(values) * len(stats))
        time_s = pair.group.last_success_time_s if detailed[pair.level] else None
        shown_time_s = time_s if time_s is not None and limit.take(1) else None
        yield Part(
            ("pair", pair.level, pair.domain, pair.other_domain, pair.group.key),
            (pair.group, stats, fits, shown_time_s),
            functools.partial(_add_pair, spec, pair, stats if fits else (), shown_time_s),
        )
    counts = tuple(verdicts.items())
    yield Part("pair verdicts", counts, functools.partial(_add_pair_verdicts, counts))


def _add_pair(
    spec: ProbeSpec, pair: DomainPair, stats: Sequence[str], time_s: float | None, samples: Samples
) -> None:
    labels = _probe_labels(pair.group.key)
    labels |= {"level": pair.level, "domain": pair.domain, "other_domain": pair.other_domain}
    measure = spec.measures[0].name
    values = _values(pair.group, measure)
    _add_values(samples, catalogue.pair_family(spec), labels, measure, values, stats)
    if time_s is not None:
        samples.add(catalogue.PAIR_SUCCESS, time_s, **labels)


def _add_pair_verdicts(counts: Iterable[tuple[_Counted, int]], samples: Samples) -> None:
    for (key, level, verdict), count in counts:
        samples.add(catalogue.PAIR_VERDICTS, count, **_probe_labels(key), level=level, verdict=verdict)


def _count_domains(pairs: Iterable[DomainPair], level: str) -> int:
    domains = {domain for pair in pairs if pair.level == level for domain in (pair.domain, pair.other_domain)}
    return len(domains)
