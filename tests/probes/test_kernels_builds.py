"""Every kernel under the sanitizers, and as an aarch64 program under emulation."""

from __future__ import annotations

import shutil

import pytest

from kernel_program import build, kernel_specs, measure_once, words_for
from toposcope_probes.contract import ProbeSpec

pytestmark = pytest.mark.live


def patient_words_for(spec: ProbeSpec) -> list[str]:
    """With more time than the probe takes by itself, since these builds are slow."""
    return [*(word for word in words_for(spec) if not word.startswith("max_ms=")), "max_ms=1000"]


def models_of(spec: ProbeSpec) -> list[str]:
    return [f"model={model}" for model in spec.variants.get("model", ())]


ALL_KERNELS = pytest.mark.parametrize("spec", kernel_specs(), ids=lambda spec: spec.name)


@ALL_KERNELS
def test_address_and_undefined_behaviour_sanitizers(spec: ProbeSpec) -> None:
    program = build("kernels-asan", "-DTOPOSCOPE_SANITIZE=address,undefined")
    for variant in models_of(spec) or [""]:
        line = measure_once(spec.name, *patient_words_for(spec), *variant.split(), program=[program])
        assert line["kernel"] == spec.name


@ALL_KERNELS
def test_thread_sanitizer_on_threads(spec: ProbeSpec) -> None:
    """Processes share memory that this sanitizer does not see."""
    program = build("kernels-tsan", "-DTOPOSCOPE_SANITIZE=thread")
    thread = [variant for variant in models_of(spec) if variant == "model=thread"]
    line = measure_once(spec.name, *patient_words_for(spec), *thread, program=[program])
    assert line["kernel"] == spec.name


@ALL_KERNELS
def test_aarch64_under_emulation(spec: ProbeSpec) -> None:
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
    for variant in models_of(spec) or [""]:
        words = (spec.name, *patient_words_for(spec), *variant.split())
        line = measure_once(*words, program=["qemu-aarch64", program])
        assert line["facts"]["clock"] == "cntvct"
