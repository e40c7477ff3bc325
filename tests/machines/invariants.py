"""What must hold of every machine, whatever it was read from."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console

from toposcope.render.topology_svg import topology_svg
from toposcope.render.topology_text import topology_text
from toposcope.topology.discover import discover
from toposcope.topology.document import from_document, to_document
from toposcope.topology.model import Machine
from toposcope.topology.sysfs import MAX_DOUBTS, Root


def check_everything(root: Path) -> Machine:
    """Discover below `root`, check the invariants, make JSON (and read it back), text and picture of it."""
    machine = discover(Root(root))
    check_invariants(machine)
    text = json.dumps(to_document(machine))
    assert from_document(json.loads(text)) == dataclasses.replace(machine, is_this_system=False)
    assert "root:x:0:0" not in text, "a link led out of the root"
    as_text(machine)
    ElementTree.fromstring(topology_svg(machine))
    return machine


def as_text(machine: Machine, width: int = 80) -> str:
    """The text tree as it would be in a pipe."""
    stream = io.StringIO()
    Console(file=stream, width=width, no_color=True, highlight=False).print(topology_text(machine))
    return stream.getvalue()


def check_invariants(machine: Machine) -> None:
    """Sets are of online CPUs, partitions are disjoint, everything is in canonical order."""
    online = set(machine.online_cpus)
    assert online
    assert not machine.is_this_system
    for name in ("packages", "dies", "clusters", "cores", "books", "drawers", "core_types"):
        partition = getattr(machine, name) or ()
        members = [cpu for cpus in partition for cpu in cpus]
        assert len(members) == len(set(members)), name
        assert online.issuperset(members), name
        assert list(partition) == sorted(partition), name
        assert all(list(cpus) == sorted(cpus) for cpus in partition), name
    assert set(machine.usable_cpus) <= online
    assert machine.usable_cpus
    assert not online & set(machine.offline_cpus or ())
    for cache in machine.caches:
        assert cache.cpus
        assert online.issuperset(cache.cpus)
    assert len(machine.doubts) <= MAX_DOUBTS
    for first, second in zip(machine.online_cpus, machine.online_cpus[1:], strict=False):
        assert machine.relation(first, second) == machine.relation(second, first)
