"""Names of Arm cores by the numbers in MIDR_EL1 (arch/arm64/include/asm/cputype.h in the kernel)."""

from __future__ import annotations

from typing import Final

_ARM_LIMITED: Final = 0x41
_PARTS: Final = {
    0xC05: "Cortex-A5", 0xC07: "Cortex-A7", 0xC08: "Cortex-A8", 0xC09: "Cortex-A9", 0xC0D: "Cortex-A17",
    0xC0F: "Cortex-A15", 0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD07: "Cortex-A57",
    0xD08: "Cortex-A72", 0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1", 0xD0D: "Cortex-A77", 0xD40: "Neoverse-V1", 0xD41: "Cortex-A78",
    0xD44: "Cortex-X1", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710", 0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2", 0xD4B: "Cortex-A78C", 0xD4D: "Cortex-A715", 0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720", 0xD82: "Cortex-X4",
    0xD84: "Neoverse-V3", 0xD85: "Cortex-X925", 0xD87: "Cortex-A725", 0xD8E: "Neoverse-N3",
}  # fmt: skip


def arm_model(midr: int) -> str:
    """The core's name, or its numbers. Variant and revision (bits 23:20 and 3:0) make no other model."""
    implementer, part = midr >> 24 & 0xFF, midr >> 4 & 0xFFF
    name = _PARTS.get(part) if implementer == _ARM_LIMITED else None
    return name or f"Arm implementer {implementer:#x} part {part:#05x}"
