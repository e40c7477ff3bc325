"""Views with everything in them: a result of every probe, counts, judgements; for tests of what shows them."""

from __future__ import annotations

import time

import toposcope_probes
from generators import replays
from toposcope.judgements import ClaimStanding, Judgements
from toposcope.measure.plan import ProbeChoice, plan
from toposcope.measure.watch import GroupStanding
from toposcope.results import Estimate, Visit
from toposcope.topology.agreement import Agreement, LevelAgreement
from toposcope.topology.fingerprint import fingerprint
from toposcope.view import View


def estimate(value: float) -> Estimate:
    """An estimate with a narrow interval around `value`."""
    return Estimate(value, value * 0.9, value, value * 1.1, value * 0.98, value * 1.02, value * 0.05)


def full_view(model: replays.Model = replays.TWO_SOCKETS, visits: int = 12) -> View:
    """A live-looking view: each planned target has `visits` sound visits, the last one now."""
    machine = replays.machine(model)
    view = View(machine, fingerprint(machine))
    choices = [ProbeChoice(spec, spec.interval_s, spec.max_age_s) for spec in toposcope_probes.load_all()]
    now_s = time.time()
    for task in plan(machine, choices, cpus=machine.online_cpus, interpreters=("python3",), seed=1):
        cross = task.identity.relation == "cross_package" or "remote" in task.identity.target.key
        measures = {measure.name: estimate(110.0 if cross else 25.0) for measure in task.spec.measures}
        made = [Visit(now_s - visits + index, 0.01, "ok", "", measures, 200, {"context_switch": 2})
                for index in range(visits)]  # fmt: skip
        view.load(task.identity, task.spec.measures[0].name, made)
        view.count(task.spec.name, made[-1], cpu_s=0.002, fault="timeout")
    view.set_judgements(judgements(now_s))
    spent = {"ratio": 0.01, "spent_s": 1.0, "balance_s": 0.1}
    view.set_status({"tasks": len(view.results), "budget": {"cpu": spent, "saturation": spent}})
    return view


def replayed_view(model: replays.Model, *, seed: int = 0, factors: dict[str, float] | None = None) -> View:
    """A replay of a host of this model; `factors` make single relations slower than its peers'."""
    machine = replays.machine(model)
    matrix = replays.matrix(model, seed=seed, factors=factors)
    return View(machine, fingerprint(machine), mode="replay", matrix=matrix)


def judgements(now_s: float) -> Judgements:
    """One of each."""
    return Judgements(
        claims=(ClaimStanding("thread_create_cheaper", "confirmed", 7.0, (6.0, 8.0)),),
        agreement={"l3": "agrees", "package": "contradicted"},
        declared=Agreement(
            (
                LevelAgreement("l3", "agrees", 0.99, (), "level_1", ""),
                LevelAgreement("package", "contradicted", 0.6, (0, 8), None, "sockets made up"),
            ),
            (),
            (),
        ),
        drifted={"cross_package": 0},
        drift_groups=(
            GroupStanding("cacheline_cas", "home=first,model=thread", "l3", "stable", 26.0, 0.02, now_s),
            GroupStanding("memory_latency", "pages=base", "CPU 0 to node 0", "learning", None, None, None),
        ),
        audit_findings={"irq_on_measured_cpu": 0},
        self_test_regret_ratio=0.01,
        self_test_time_s=now_s,
    )
