"""Runs in the guest: our topology against lscpu and lstopo there, again after CPUs went and came back.

    topology_guest.py [CPU…]      the CPUs to switch off and on again

Prints a line for each comparison that differs and a last line `agree` or `differ`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

Sets = set[frozenset[int]]


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ours() -> dict[str, Sets]:
    document = json.loads(said(sys.executable, "-m", "toposcope", "topology", "--format", "json"))
    found = {
        name: {frozenset(cpus) for cpus in document[name] or ()} for name in ("packages", "dies", "cores")
    }
    found["nodes"] = {frozenset(node["cpus"]) for node in document["numa_nodes"]} - {frozenset()}
    # hwloc shows no node without memory (lscpu does, with its CPUs: compared as "nodes").
    with_memory = [node for node in document["numa_nodes"] if node["memory_bytes"]]
    found["node ids"] = {frozenset([node["id"]]) for node in with_memory}
    found["L3"] = {frozenset(cache["cpus"]) for cache in document["caches"] if cache["level"] == 3}
    found["L2"] = {frozenset(cache["cpus"]) for cache in document["caches"] if cache["level"] == 2}
    found["CPUs"] = {frozenset(document["online_cpus"])}
    return found


def of_lscpu() -> dict[str, Sets]:
    """`lscpu -p` numbers each level; equal numbers belong together."""
    rows = [
        line.split(",") for line in said("lscpu", "-p=CPU,CORE,SOCKET,NODE").splitlines() if line[0] != "#"
    ]
    names = {"cores": 1, "packages": 2, "nodes": 3}
    found: dict[str, Sets] = {"CPUs": {frozenset(int(row[0]) for row in rows)}}
    for name, column in names.items():
        groups: dict[str, set[int]] = {}
        for row in rows:
            groups.setdefault(row[column], set()).add(int(row[0]))
        groups.pop("", None)
        found[name] = set(map(frozenset, groups.values()))
    return found


def cpus_of(mask: str | None) -> frozenset[int]:
    """hwloc's cpuset, `0x0000000f,0x00000001` or, with `0xf...f`, infinite (not for our objects)."""
    if not mask:
        return frozenset()
    words = [int(word or "0", 16) for word in mask.split(",")]
    bits = sum(word << 32 * at for at, word in enumerate(reversed(words)))
    return frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def of_lstopo() -> dict[str, Sets]:
    tree = ElementTree.fromstring(said("lstopo-no-graphics", "--of", "xml"))
    names = {
        "Package": "packages",
        "Die": "dies",
        "Core": "cores",
        "NUMANode": "nodes",
        "L3Cache": "L3",
        "L2Cache": "L2",
    }
    found: dict[str, Sets] = {name: set() for name in names.values()} | {"node ids": set()}
    for item in tree.iter("object"):
        name = names.get(item.get("type", ""))
        if name:
            found[name].add(cpus_of(item.get("cpuset")))
        if item.get("type") == "NUMANode":
            found["node ids"].add(frozenset([int(item.get("os_index", "-1"))]))
    found["nodes"].discard(frozenset())
    # hwloc leaves out dies that equal their package, and gives CPU-less nodes the CPUs they are near to.
    return {name: sets for name, sets in found.items() if sets and name not in ("dies", "nodes")}


def compare(when: str) -> bool:
    mine, agree = ours(), True
    for peer, theirs in (("lscpu", of_lscpu()), ("lstopo", of_lstopo())):
        for name, sets in theirs.items():
            if mine[name] != sets:
                agree = False
                print(
                    f"{when}: {name}: we {sorted(map(sorted, mine[name]))}, {peer} {sorted(map(sorted, sets))}"
                )
    print(f"{when}: {len(mine['packages'])} packages, {len(mine['nodes'])} nodes with CPUs of {len(mine['node ids'])}, "
          f"{len(mine['cores'])} cores, {len(next(iter(mine['CPUs'])))} CPUs")  # fmt: skip
    return agree


def switch(cpu: str, state: str) -> None:
    Path(f"/sys/devices/system/cpu/cpu{cpu}/online").write_text(state)


def main() -> None:
    before = ours()
    agree = compare("at start")
    cpus = sys.argv[1:]
    if cpus:
        for cpu in cpus:
            switch(cpu, "0")
        agree &= compare(f"without {' '.join(cpus)}")
        for cpu in cpus:
            switch(cpu, "1")
        agree &= compare("with all again")
        if ours() != before:
            agree = False
            print("after replug the machine is not what it was")
    print("agree" if agree else "differ")


if __name__ == "__main__":
    main()
