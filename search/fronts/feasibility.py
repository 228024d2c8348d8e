"""Feasibility: whether a measured candidate meets its job's constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.fronts.metrics import failures_of
from search.fronts.objectives import Constraint, Objective, violations
from search.states import TrialState


def judge(
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    metrics: Mapping[str, Any],
    baseline: Mapping[str, Any],
) -> tuple[TrialState, str | None]:
    """Judges a measured candidate: ``done``, or ``infeasible`` with the constraints that it breaks as the reason.

    A candidate that lacks an objective's metric is infeasible.
    """
    missing = [o.metric for o in objectives if o.gain(metrics) is None]
    if missing:
        why = [f"{label} {failure['state']}: {failure['reason']}" for label, failure in failures_of(metrics).items()]
        return TrialState.INFEASIBLE, "; ".join([f"no value for {', '.join(missing)}", *why])
    amounts = violations(constraints, metrics, baseline)
    broken = [c.text for c, amount in zip(constraints, amounts, strict=True) if amount]
    return (TrialState.INFEASIBLE, "; ".join(broken)) if broken else (TrialState.DONE, None)
