"""Right or wrong: the published scoring's rules, applied to one of our own samples."""

from __future__ import annotations

from generators.measured import Groups, Sample
from toposcope.topology.infer import Inference


def faults(inference: Inference, truth: Sample) -> list[str]:
    """Every reason why the answer is wrong; empty when it is right.

    Where only optional levels exist, an answer `structured` with nothing but these is right as well; and one
    home level, or the level that it stands for, is as good as another.
    """
    found: dict[Groups, str] = {
        frozenset(map(frozenset, level.groups)): level.name for level in inference.levels
    }
    known = {*truth.required.values(), *truth.optional.values()}
    wrong = [f"level {name} is not in the truth ({len(groups)} groups)" for groups, name in found.items()
             if groups not in known]  # fmt: skip
    if inference.verdict == "structured":
        homed = [groups for name, groups in (truth.required | truth.optional).items()
                 if name.startswith("home_") or f"home_{name}" in truth.required]  # fmt: skip
        wrong += [f"required level {name} ({len(groups)} groups) not found"
                  for name, groups in truth.required.items()
                  if groups not in found and not (name.startswith("home_") and found.keys() & set(homed))]  # fmt: skip
        hedged = "unusable" not in truth.verdicts and truth.optional and found and not wrong
    else:
        hedged = False
    if inference.verdict not in truth.verdicts and not hedged:
        wrong.append(f"verdict {inference.verdict}, expected {' or '.join(sorted(truth.verdicts))}")
    if inference.verdict != "structured" and not inference.reasons:
        wrong.append("no reason")
    return wrong
