"""Every kernel under the sanitizers, and as an aarch64 program under emulation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kernel_program import build, kernel_specs, measure, measure_once, two_cpus, words_for
from toposcope_probes.contract import ProbeSpec

pytestmark = pytest.mark.live


def patient_words_for(spec: ProbeSpec) -> list[str]:
    """With more time than the probe takes by itself, since these builds are slow."""
    return [*(word for word in words_for(spec) if not word.startswith("max_ms=")), "max_ms=1000"]


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


ALL_KERNELS = pytest.mark.parametrize("spec", kernel_specs(), ids=lambda spec: spec.name)


@ALL_KERNELS
def test_address_and_undefined_behaviour_sanitizers(spec: ProbeSpec) -> None:
    program = build("kernels-asan", "-DTOPOSCOPE_SANITIZE=address,undefined")
    for variant in models_of(spec) or [""]:
        line = line_of(spec, variant, [program])
        assert line["kernel"] == spec.name


@ALL_KERNELS
def test_thread_sanitizer_on_threads(spec: ProbeSpec) -> None:
    """Processes share memory that this sanitizer does not see."""
    program = build("kernels-tsan", "-DTOPOSCOPE_SANITIZE=thread")
    thread = [variant for variant in models_of(spec) if variant == "model=thread"]
    line = line_of(spec, " ".join(thread), [program])
    assert line["kernel"] == spec.name


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
