"""Every kernel under the sanitizers, and as an aarch64 program under emulation."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest

from kernel_program import build, kernel_specs, measure, measure_once, two_cpus, words_for
from toposcope_probes.contract import ProbeSpec

pytestmark = pytest.mark.live


# Work that slow builds get through between two disturbances of a busy machine, so that results are reported.
LITTLE_WORK = {
    "memory_bandwidth": "memory_mib=16",
    "memory_latency": "largest_mib=8",
    "wakeup": "wakes=64",
    "workload_bfs": "scale=8 rounds=3",
    "workload_pagerank": "scale=8 rounds=3",
}
TRIES = 8


def patient_words_for(spec: ProbeSpec) -> list[str]:
    """With more time than the probe takes by itself, since these builds are slow."""
    words = [word for word in words_for(spec) if not word.startswith("max_ms=")]
    return [*words, *LITTLE_WORK.get(spec.name, "").split(), "max_ms=1000"]


def measure_to_the_end(spec: ProbeSpec, variant: list[str], program: list[str | Path]) -> dict[str, Any]:
    """A line with samples: only then the code that reports them has run. Tried again on a busy machine."""
    for _ in range(TRIES):
        (line,) = measure(spec.name, *patient_words_for(spec), *variant, program=program)
        if line["status"] == "ok":
            assert any(group for groups in line["samples"].values() for group in groups)
            return line
        if line["status"] == "not_applicable":
            pytest.skip(line["reason"])
    raise AssertionError(line["reason"])


def line_of(spec: ProbeSpec, variant: str, program: list[str | Path]) -> dict[str, Any]:
    """A line of the kernel. Long visits may fail honestly where a busy machine preempts such slow builds."""
    words = [*patient_words_for(spec), *variant.split()]
    if spec.visit_ms <= 10:
        return measure_once(spec.name, *words, program=program)
    (line,) = measure(spec.name, *words, program=program)
    assert line["status"] != "failed" or line["reason"]
    return line


def models_of(spec: ProbeSpec) -> list[str]:
    return [f"model={model}" for model in spec.variants.get("model", ())]


def variants_of(spec: ProbeSpec) -> list[list[str]]:
    """Every combination of the probe's variants, as words."""
    keys = list(spec.variants)
    return [
        [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
        for values in itertools.product(*(spec.variants[key] for key in keys))
    ]


ALL_KERNELS = pytest.mark.parametrize("spec", kernel_specs(), ids=lambda spec: spec.name)
ALL_VARIANTS = pytest.mark.parametrize(
    ("spec", "variant"),
    [
        pytest.param(spec, variant, id=",".join([spec.name, *variant]))
        for spec in kernel_specs()
        for variant in variants_of(spec)
    ],
)


@ALL_VARIANTS
def test_address_and_undefined_behaviour_sanitizers(spec: ProbeSpec, variant: list[str]) -> None:
    program = build("kernels-asan", "-DTOPOSCOPE_SANITIZE=address,undefined")
    assert measure_to_the_end(spec, variant, [program])["kernel"] == spec.name


@ALL_VARIANTS
def test_thread_sanitizer_on_threads(spec: ProbeSpec, variant: list[str]) -> None:
    if "model=process" in variant:
        pytest.skip("processes share memory that this sanitizer does not see")
    program = build("kernels-tsan", "-DTOPOSCOPE_SANITIZE=thread")
    assert measure_to_the_end(spec, variant, [program])["kernel"] == spec.name


@pytest.mark.parametrize("kernel", ["cacheline_cas", "cacheline_handover"])
@pytest.mark.parametrize(
    ("flavour", "sanitizers", "model"),
    [
        ("kernels-asan", "address,undefined", "thread"),
        ("kernels-asan", "address,undefined", "process"),
        ("kernels-tsan", "thread", "thread"),
    ],
)
def test_ends_that_stay_for_many_pairs_under_the_sanitizers(
    kernel: str, flavour: str, sanitizers: str, model: str
) -> None:
    one, other = two_cpus()
    pairs = f"pairs={one}:{other},{other}:{one},{one}:{other}"
    lines = measure(
        kernel,
        pairs,
        f"model={model}",
        "max_ms=2000",
        program=[build(flavour, f"-DTOPOSCOPE_SANITIZE={sanitizers}")],
    )
    assert len(lines) == 3
    assert any(line["status"] == "ok" for line in lines), [line["reason"] for line in lines]


def emulated() -> list[str | Path]:
    """The program for aarch64, to be run by qemu-user."""
    for tool in ("aarch64-linux-gnu-gcc", "qemu-aarch64"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    program = build(
        "kernels-aarch64",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    )
    return ["qemu-aarch64", program]


@ALL_KERNELS
def test_aarch64_under_emulation(spec: ProbeSpec) -> None:
    program = emulated()
    for variant in models_of(spec) or [""]:
        line = line_of(spec, variant, program)
        assert line["facts"]["clock"] == "cntvct"


def test_a_home_that_cannot_be_bound_or_asked_for_is_doubted() -> None:
    """qemu-user has neither mbind nor move_pages, as some sandboxes have not."""
    one, other = two_cpus()
    line = measure_once("cacheline_cas", f"cpus={one},{other}", "max_ms=1000", program=emulated())
    facts = line["facts"]
    assert (facts["home_bound"], facts["home_verified"]) == (False, False)
    assert facts["home_doubt"] == "move_pages: Function not implemented"
