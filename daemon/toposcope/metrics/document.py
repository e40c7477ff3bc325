"""docs/metrics.md from the catalogue: `python -m toposcope.metrics.document > docs/metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from toposcope.metrics import catalogue
from toposcope.metrics.family import Family

_HEAD = """\
# Metrics

Made by `python -m toposcope.metrics.document`; a test fails where this page and the code differ. A name or a
label that changed would break dashboards and alerts, so another test holds them against a fixed list.

How to read them:

- Units are Prometheus' base units: seconds, bytes, ratios from 0 to 1. Latencies are one way.
- `stat` is `estimate` (what verdicts, drift and advice use), `min`, `median`, `p90`, or the ends `low` and
  `high` of the estimate's 95 % interval. `mode` is `0` for a result with one mode; an `unstable` result has
  one set of samples for each mode, in ascending order, and never a pooled value.
- `ok` and `noisy` results have values, `unstable` ones by mode, `failed` and `not_applicable` ones have none.
  The verdict is always there: join with `toposcope_result_verdict{verdict="ok"} == 1` where it matters.
- `variant` holds what a probe varies besides `model`, as `home=first` or `channel=pipe,size_bytes=64`.
- Labels that do not apply are left out. Nothing has a host label: that is Prometheus' `instance`.
- Ages are timestamps: `time() - toposcope_probe_last_success_timestamp_seconds`.
- In replay (`toposcope_replay` is 1, `mode="replay"` on `toposcope_machine_info`) nothing is measured: values
  come from the matrix that was given, there are no timestamps, and the counters of work stay at 0.

"""


def document() -> str:
    """The whole page."""
    parts = [
        _HEAD + _limits(),
        "## The machine, verdicts, judgements, and the daemon's own work\n\n" + _table(catalogue.FIXED),
        "## What probes measure\n\n"
        "All are gauges. Those that begin with `toposcope_domain_pair_` are by the L3 domains or the nodes\n"
        "of the two CPUs, the others by relation, core set, node or interpreter.\n\n"
        + _table(catalogue.probe_families()),
    ]
    return "\n".join(parts)


def _limits() -> str:
    return f"""\
How many series there can be: {catalogue.RESULT_SERIES_MAX:,} of results,
{catalogue.DOMAIN_PAIR_SERIES_MAX:,} of domain pairs, {catalogue.CPU_SERIES_MAX:,} of CPUs and
{catalogue.DISTANCE_SERIES_MAX} of declared distances; what is beyond is left out and counted by
`toposcope_series_left_out`. At levels of more than {catalogue.DETAILED_DOMAINS_MAX} domains, pairs of
domains have only `stat="estimate"`. The CPU × CPU matrix is no metric: it is at
`/api/v1/matrix/cacheline_cas`.
"""


def _table(families: Iterable[Family]) -> str:
    lines = ["| name | type | labels | meaning |", "|---|---|---|---|"]
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
