"""The only conversions between our units (ns, bytes) and those of Prometheus (base units)."""

from __future__ import annotations

from typing import Final

NS_PER_S: Final = 1_000_000_000

# How a name that ends in one of our units is called in Prometheus, and the factor that leads there.
_BASE_UNITS: Final = {
    "ns": ("seconds", 1e-9),
    "us": ("seconds", 1e-6),
    "ms": ("seconds", 1e-3),
    "s": ("seconds", 1.0),
    "bytes_per_s": ("bytes_per_second", 1.0),
    "bytes": ("bytes", 1.0),
    "per_s": ("per_second", 1.0),
    "hz": ("hertz", 1.0),
    "ratio": ("ratio", 1.0),
    "count": ("count", 1.0),
}
_LONGEST_FIRST: Final = sorted(_BASE_UNITS, key=len, reverse=True)


def split_unit(name: str) -> tuple[str, str]:
    """Split `latency_ns` into ("latency", "ns").

    Raises ValueError where the name ends in no unit we know, for such a name must not exist.
    """
    for unit in _LONGEST_FIRST:
        if name.endswith("_" + unit):
            return name[: -len(unit) - 1], unit
    raise ValueError(f"{name!r} does not end in a unit ({', '.join(sorted(_BASE_UNITS))})")


def prometheus_name(name: str) -> str:
    """`latency_ns` as Prometheus wants it: `latency_seconds`."""
    stem, unit = split_unit(name)
    return f"{stem}_{_BASE_UNITS[unit][0]}"


def to_base(name: str, value: float) -> float:
    """`value` of the quantity `name` in Prometheus base units."""
    return value * _BASE_UNITS[split_unit(name)[1]][1]


def format_ns(value_ns: float) -> str:
    """A duration for people: three significant digits with the unit that keeps them readable."""
    for limit, factor, unit in ((1e3, 1.0, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if value_ns < limit:
            return f"{value_ns / factor:.3g} {unit}"
    return f"{value_ns / NS_PER_S:.3g} s"


def format_duration(duration_s: float) -> str:
    """How long something has lasted, for people: `12 s`, `5 min`, `3.2 h`, `4.1 days`."""
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if duration_s < limit_s:
            return f"{duration_s / unit_s:.3g} {unit}"
    return f"{duration_s / 86_400:.3g} days"


def format_bytes(value_bytes: float) -> str:
    """A size for people: `32 KiB`, `1.5 MiB`, `31.3 GiB`."""
    value = float(value_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def format_value(name: str, value: float) -> str:
    """A value of the quantity `name` for people, by the unit that the name ends in."""
    unit = split_unit(name)[1]
    if unit == "ns":
        return format_ns(value)
    if unit in ("bytes", "bytes_per_s"):
        return format_bytes(value) + ("/s" if unit == "bytes_per_s" else "")
    return f"{value:.3g}" + {"ratio": "", "per_s": "/s", "count": ""}.get(unit, f" {unit}")
