"""What holds for every probe: found by its files, listed nowhere, true to the contract."""

from __future__ import annotations

import os
import pkgutil
import shutil
from pathlib import Path
from typing import Any

import pytest

from kernel_program import PROBES, ROOT, build, kernel_specs, measure, measure_once, run, specs, words_for
from toposcope_probes.contract import ProbeSpec, Program

UNITS = ("_ns", "_bytes", "_bytes_per_s", "_per_s", "_ratio", "_us", "_ms", "_s", "_count")
FIELDS = {
    "schema_version", "kernel", "cpus", "node", "variant", "status", "reason", "samples", "groups",
    "batches_kept", "batches_dropped", "checks", "facts",
}  # fmt: skip


SPECS = specs()
KERNELS = kernel_specs()
ALL = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
ALL_KERNELS = pytest.mark.parametrize("spec", KERNELS, ids=lambda spec: spec.name)


@ALL
def test_a_spec_is_complete(spec: ProbeSpec) -> None:
    assert spec.help
    assert spec.operation, "every number names its operation"
    assert spec.measures
    assert all(measure.name.endswith(UNITS) and measure.help for measure in spec.measures)
    assert len({measure.name for measure in spec.measures}) == len(spec.measures)
    assert all(len(set(values)) == len(values) > 0 for values in spec.variants.values())
    assert 0 < spec.visit_ms < spec.deadline_ms
    assert 0 < spec.interval_s <= spec.max_age_s


@ALL
def test_a_probe_is_its_files(spec: ProbeSpec) -> None:
    assert (PROBES / f"{spec.name}.py").is_file()
    tests = ROOT / "tests" / "probes"
    if spec.program is Program.KERNEL:
        assert (tests / f"test_{spec.name}.py").is_file()
    else:  # the workloads of an interpreter are tested together
        assert any(spec.name in path.read_text() for path in tests.glob("test_*.py"))
    program = f"{spec.name}.c" if spec.program is Program.KERNEL else f"runtime/{spec.name}.py"
    assert (PROBES / program).is_file()


def test_names_are_unique_and_kernels_are_those_of_the_specs() -> None:
    assert len({spec.name for spec in SPECS}) == len(SPECS)
    assert run("--list").stdout.split() == sorted(spec.name for spec in KERNELS)


def check_line(line: dict[str, Any], spec: ProbeSpec, words: list[str]) -> None:
    assert set(line) == FIELDS
    assert (line["schema_version"], line["kernel"]) == (1, spec.name)
    assert "cpus=" + ",".join(map(str, line["cpus"])) in words
    assert line["status"] in {"ok", "not_applicable", "failed"}
    assert (line["status"] == "ok") == (line["reason"] == "")
    assert {"context_switch", "migration", "deadline"} <= set(line["batches_dropped"])
    assert all(isinstance(value, (int, float)) for value in line["checks"].values())
    if line["status"] == "ok":
        # A variant may lack a measure (an eventfd carries no bulk), but never the one that is judged.
        assert spec.measures[0].name in line["samples"]
        assert set(line["samples"]) <= {measure.name for measure in spec.measures}
        for groups in line["samples"].values():
            assert len(groups) == len(line["groups"]) > 0
            assert all(sample >= 0 for group in groups for sample in group)
            assert any(groups)
        assert line["batches_kept"] > 0


@pytest.mark.live
@ALL_KERNELS
def test_a_kernel_speaks_the_contract_in_each_variant(spec: ProbeSpec) -> None:
    if len(os.sched_getaffinity(0)) < 2 and spec.two_ended:
        pytest.skip("needs two CPUs")
    for key, values in (spec.variants or {"": ("",)}).items():
        for value in values:
            variant = [f"{key}={value}"] if key else []
            words = [*words_for(spec), *variant]
            line = measure_once(spec.name, *words)
            check_line(line, spec, words)
            assert not key or line["variant"][key] == value


@ALL_KERNELS
def test_a_kernel_refuses_a_key_it_does_not_know(spec: ProbeSpec) -> None:
    done = run(spec.name, *words_for(spec), "nonsense=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"toposcope-kernels: {spec.name}: there is no key 'nonsense' here\n"


@pytest.mark.live
@ALL_KERNELS
def test_a_cpu_that_is_not_there_is_a_value(spec: ProbeSpec) -> None:
    words = [word for word in words_for(spec) if not word.startswith("cpus=")]
    cpus = "8000" if words_for(spec)[0].count(",") == 0 else f"{min(os.sched_getaffinity(0))},8000"
    (line,) = measure(spec.name, f"cpus={cpus}", *words)
    assert line["status"] == "not_applicable"
    assert "CPU 8000 is offline, absent or not among the CPUs this process may use" in line["reason"]


NEW_KERNEL = """
#include "kernel.h"
int kernel_brand_new(struct request *request)
{
    request_targets(request, 1, 1);
    struct result *result = result_begin(request, &request->targets[0]);
    result_sample(result, "latency_ns", result_group(result, "all"), 1.5);
    result_count(result, OUTCOME_KEPT);
    result_end(result);
    return 0;
}
"""


def test_a_new_probe_needs_no_list_edited(tmp_path: Path) -> None:
    """A kernel, a spec: the program has the first, whoever iterates over the package finds the second."""
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)
    shutil.copytree(PROBES / "core", tmp_path / "probes" / "toposcope_probes" / "core")
    (tmp_path / "daemon" / "toposcope").mkdir(parents=True)
    shutil.copy(ROOT / "daemon" / "toposcope" / "__init__.py", tmp_path / "daemon" / "toposcope")
    new = tmp_path / "probes" / "toposcope_probes"
    (new / "brand_new.c").write_text(NEW_KERNEL)
    spec = (PROBES / "cacheline_cas.py").read_text().replace('name="cacheline_cas"', 'name="brand_new"')
    (new / "brand_new.py").write_text(spec)
    program = build("new", source=tmp_path)
    assert run("--list", program=[program]).stdout.split() == ["brand_new"]
    (line,) = measure("brand_new", "cpus=0", program=[program])
    assert line["samples"] == {"latency_ns": [[1.5]]}
    assert "brand_new" in {module.name for module in pkgutil.iter_modules([str(new)])}
