"""What a candidate might measure on each of a job's modelled devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.layers import LayerGroup
from evaluators.modelled import Pruned, modelled_metrics
from evaluators.roofline import roofline_metrics
from hwprofiles import Profile
from search.device_metrics import joined
from search.devices import JobDevice
from search.scales import LayerScale, narrowed


def modelled(
    devices: Sequence[JobDevice],
    groups: Sequence[LayerGroup],
    decisions: Mapping[str, str],
    digest: str,
    scales: Sequence[LayerScale] = (),
) -> dict[str, Any]:
    """A candidate's metrics, on every device of the job; ``scales`` say how decisions narrow the layers."""
    deciding = {name for scale in scales for name in scale.decisions}
    kept = {name: float(value) for name, value in decisions.items() if name in deciding}
    pruned = Pruned(narrowed(groups, scales, decisions), kept)
    found = {one.label: _on_device(one.profile, groups, decisions, digest, pruned) for one in devices}
    return found[devices[0].label] if len(devices) == 1 else joined([one.label for one in devices], found)


def modelled_baseline(
    devices: Sequence[JobDevice], groups: Sequence[LayerGroup], decisions: Mapping[str, str], digest: str
) -> dict[str, Any]:
    """The metrics of the model as it is, whose speed-up is 1 by definition."""
    metrics = modelled(devices, groups, decisions, digest)
    same = {"ratio": 1.0, "ci95": [1.0, 1.0]}
    names = [name for name in metrics if name.partition("@")[0] == "speedup"]
    return metrics | {name: dict(same) for name in names}


def _on_device(
    profile: Profile, groups: Sequence[LayerGroup], decisions: Mapping[str, str], digest: str, pruned: Pruned
) -> dict[str, Any]:
    """By its roofline where the device is described, else as a dry run models."""
    if profile.peaks is None:
        return modelled_metrics(groups, decisions, digest, profile, pruned)
    return roofline_metrics(groups, decisions, digest, profile.peaks, profile.batch, pruned)
