"""The instruments: every module here with a `SPEC` is a probe. Usable without the daemon."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from toposcope_probes.contract import ProbeSpec

__all__ = ["find", "load_all"]


@functools.cache
def load_all() -> tuple[ProbeSpec, ...]:
    """All probes by name, found by looking for modules that have a `SPEC`; no list is kept anywhere."""
    specs: list[ProbeSpec] = []
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg or module.name == "contract":
            continue
        spec = getattr(importlib.import_module(f"{__name__}.{module.name}"), "SPEC", None)
        if spec is None:
            continue
        assert isinstance(spec, ProbeSpec), f"{module.name}.SPEC is not a ProbeSpec"
        assert spec.name == module.name, f"{module.name}.SPEC is called {spec.name}"
        specs.append(spec)
    return tuple(sorted(specs, key=lambda spec: spec.name))


def find(name: str) -> ProbeSpec | None:
    """The probe of that name, or None."""
    return next((spec for spec in load_all() if spec.name == name), None)
