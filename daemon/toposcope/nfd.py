"""Labels for Kubernetes' node-feature-discovery: a feature file with an expiry.

NFD's local source reads files of `name=value` lines below features.d and makes node labels of them
(`feature.node.kubernetes.io/toposcope-…`); a `# +expiry-time=` directive ends them when nobody renews the
file, so that a node whose daemon died loses its labels. Source: node-feature-discovery, "Feature files".
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from toposcope.errors import ToposcopeError
from toposcope.view import View

FILE_NAME: Final = "toposcope"
LIFETIME_S: Final = 3600.0
RENEWAL_INTERVAL_S: Final = 60.0
# A label's value (Kubernetes, "Labels and Selectors"): at most 63 of these, alphanumeric at both ends.
_VALUE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def feature_text(view: View, now_s: float) -> str:
    """The file's text: what the machine is, and sound latencies by relation, rounded to two digits."""
    expiry = datetime.datetime.fromtimestamp(now_s + LIFETIME_S, datetime.UTC)
    lines = [f"# +expiry-time={expiry.strftime('%Y-%m-%dT%H:%M:%SZ')}"]
    lines += [
        f"toposcope-{name}={value}" for name, value in _features(view).items() if _VALUE.fullmatch(value)
    ]
    return "\n".join([*lines, ""])


def _features(view: View) -> dict[str, str]:
    machine = view.machine
    counts = {"packages": machine.packages, "l3-domains": machine.cache_partition(3), "cores": machine.cores}
    features = {"placement": view.placement, "fingerprint": view.fingerprint, "mode": view.mode}
    features |= {name: str(len(sets)) for name, sets in counts.items() if sets is not None}
    features["nodes"] = str(len(machine.numa_nodes))
    for group in view.groups():
        key = group.key
        wanted = key.probe == "cacheline_cas" and ("model", "thread") in key.variant and group.verdict == "ok"
        if wanted and key.relation is not None:
            name = f"{key.relation.replace('_', '-')}-ns"
            cost_ns = group.estimates[key.measure].estimate
            # Two digits: a label that changes with every visit would wake every watcher of the node.
            features[name] = str(max(round(float(f"{cost_ns:.2g}")), int(features.get(name, "0"))))
    return features


def write_features(directory: Path, text: str) -> None:
    """Put the file into place at once, so that NFD never reads half of it. Raises ToposcopeError."""
    try:
        # NFD skips files whose names begin with a dot, so it doesn't read the one being written.
        descriptor, name = tempfile.mkstemp(prefix=".toposcope-", dir=directory)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(directory / FILE_NAME)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise ToposcopeError(
            f"{directory}: the feature file can't be written: {error.strerror}",
            "give --nfd-dir a folder that this user may write to",
        ) from error
