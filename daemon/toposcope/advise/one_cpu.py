"""One CPU for a Python server: where that was measured to answer more than all CPUs do.

With a GIL one thread runs at a time, and an event loop is one thread anyway. What more CPUs bring is then
only that the kernel wakes the next thread somewhere else, which may cost more than the work itself. Whether
it does depends on the host (on guests an idle CPU has to be woken by the hypervisor), so nothing is believed
here but the probe `python_affinity`.
"""

from __future__ import annotations

from typing import Final

from toposcope.advise.choose import Choice
from toposcope.advise.facts import Evidence, OneCpuGain
from toposcope.advise.gain import Gain
from toposcope.advise.models import Model
from toposcope.advise.request import Request

PROBE: Final = "python_affinity"
MODELS: Final = {"thread": "threads", "asyncio": "coroutines"}  # of the probe's variants
_LEAST_GAIN: Final = 0.05  # the lower end of its interval; a bound process can't flee from others' load
_OF_MODEL: Final = {
    "threads": "only one of its threads runs at a time, and waking the next one on another CPU costs more",
    "coroutines": "an event loop is one thread, and being moved or woken elsewhere costs more",
}


def is_question(request: Request, model: Model) -> bool:
    """Whether one CPU could do for it: a Python server in one process."""
    is_one_each = request.exact and request.workers > 1
    return request.runtime == "python" and request.bound == "io" and model in _OF_MODEL and not is_one_each


def least_gain(evidence: Evidence, model: Model) -> OneCpuGain | None:
    """What was measured for the model; of several interpreters the one that gains least is believed."""
    found = [gain for gain in evidence.one_cpu_gains if gain.model == model]
    return min(found, key=lambda gain: gain.low) if found else None


def on_one_cpu(request: Request, evidence: Evidence, model: Model, near: Choice) -> Choice | None:
    """The first CPU of the best choice alone, where that is known to gain; else None."""
    gain = least_gain(evidence, model)
    if not is_question(request, model) or gain is None or gain.low < 1 + _LEAST_GAIN:
        return None
    why = (
        f"one CPU: a Python server in {model} ({gain.interpreter}) answered {gain.ratio:.2f} times as much "
        f"on one CPU as on all when measured here ({gain.low:.2f} to {gain.high:.2f}); {_OF_MODEL[model]}"
    )
    unless = "code in C that frees the interpreter's lock for long would lose by it: `toposcope tune` tells"
    return Choice(
        near.positions[:1], (why, unless), None, is_latency=False,
        measured_gain=Gain(gain.ratio, gain.low, gain.high),
    )  # fmt: skip
