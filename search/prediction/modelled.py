"""Metrics of candidates on devices that measure nothing: made up (dry run), or bounded by the device's peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.modelled.candidate import ModelledCandidate
from evaluators.modelled.dry_run import dry_run_metrics
from evaluators.modelled.roofline import roofline_metrics
from hwprofiles import Precision, Profile
from hwprofiles.errors import InvalidInput
from search.fronts.metrics import merge_devices, with_unit_speedup
from search.job.devices import JobDevice
from search.space.candidate import Space
from search.space.layer_changes import LayerChange, costs_left, shares_left
from search.techniques.one_shot_formats import FLOAT, FORMATS

PRECISION = "precision"


@dataclass(frozen=True)
class ModelledJob:
    """The layers of a job's model, and how the decisions of its space change them."""

    groups: Sequence[LayerGroup]
    space: Space
    changes: Sequence[LayerChange] = ()
    """How decisions change the layers' costs."""

    def candidate(self, decisions: Mapping[str, str], digest: str = "") -> ModelledCandidate:
        """Returns a candidate's layers. Those in trained int8 are as fast as in int8, those in other formats as in
        fp32."""
        precisions = self.space.values_by_target(PRECISION, decisions)
        trained = {name: value for name, value in self.formats(decisions).items() if value == Precision.INT8}
        left = shares_left(self.changes, decisions)
        setting = {decision.name for decision in self.space.decisions_of(PRECISION) if decision.target} | set(left)
        return ModelledCandidate(
            self.groups,
            digest,
            precisions | trained,
            costs_left(self.groups, self.changes, decisions),
            left,
            {name: value for name, value in decisions.items() if name not in setting},
        )

    def formats(self, decisions: Mapping[str, str]) -> dict[str, str]:
        """Returns the trained number formats by layer group."""
        return self.space.values_by_target(FORMATS, decisions)

    def reduction(self, decisions: Mapping[str, str]) -> float:
        """Returns how many times fewer bit operations a one-shot search finds; it is taken to hit its target."""
        targets = [decisions.get(d.name, FLOAT) for d in self.space.decisions_of(FORMATS) if d.target is None]
        return float(targets[0]) if targets and targets[0] != FLOAT else 1.0


def invent_metrics(
    devices: Sequence[JobDevice], job: ModelledJob, decisions: Mapping[str, str], digest: str
) -> dict[str, Any]:
    """Makes up a candidate's metrics on every device of a dry run."""
    candidate = job.candidate(decisions, digest)
    metrics = {
        device.label: dry_run_metrics(candidate, device.profile)
        | {"parameters": sum(candidate.cost(group).weights for group in candidate.groups)}
        | _operations(device.profile, job, candidate, decisions)
        for device in devices
    }
    return (
        metrics[devices[0].label] if len(devices) == 1 else merge_devices([device.label for device in devices], metrics)
    )


def invent_baseline(devices: Sequence[JobDevice], job: ModelledJob) -> dict[str, Any]:
    """Makes up the metrics of the fp32 model, whose speed-up is 1 by definition."""
    baseline = job.space.baseline()
    return with_unit_speedup(invent_metrics(devices, job, baseline.decisions, baseline.digest))


def bounds(profile: Profile, job: ModelledJob, decisions: Mapping[str, str]) -> dict[str, Any]:
    """Returns a candidate's best possible metrics on a modelled device."""
    if profile.peaks is None:
        raise InvalidInput(
            f"device {profile.device!r} has no peaks for a roofline model", "name a device of the catalogue"
        )
    candidate = job.candidate(decisions)
    metrics = roofline_metrics(candidate, profile.peaks, profile.batch)
    return metrics | _operations(profile, job, candidate, decisions)


def _operations(
    profile: Profile, job: ModelledJob, candidate: ModelledCandidate, decisions: Mapping[str, str]
) -> dict[str, Any]:
    operations = bit_operations(candidate.changed_groups, {**candidate.precisions, **job.formats(decisions)})
    return {"bit_operations": round(operations * profile.batch / job.reduction(decisions))}
