"""What a candidate might measure on each of a job's modelled devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.bit_operations import bit_operations
from evaluators.layers import LayerGroup
from evaluators.modelled import Pruned, modelled_metrics, precisions_of
from evaluators.roofline import roofline_metrics
from hwprofiles import Precision, Profile
from search.device_metrics import joined
from search.devices import JobDevice
from search.scales import LayerScale, narrowed
from search.techniques.formats import FLOAT, PREFIX, TARGET


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
    """By its roofline where the device is described, else as a dry run models. Of trained number formats int8 is as
    quick as it is untrained, and others as fp32; a search in one shot hits its target."""
    formats = {name.partition(":")[2]: value for name, value in decisions.items() if name.startswith(PREFIX)}
    quick = {f"precision:{name}": value for name, value in formats.items() if value == Precision.INT8}
    decided = {**decisions, **quick}
    if profile.peaks is None:
        found = modelled_metrics(groups, decided, digest, profile, pruned)
    else:
        found = roofline_metrics(groups, decided, digest, profile.peaks, profile.batch, pruned)
    target = decisions.get(TARGET, FLOAT)
    times = 1.0 if target == FLOAT else float(target)
    chosen = {name: one.value for name, one in precisions_of(groups, decided).items()} | formats
    return found | {"bit_operations": round(bit_operations(pruned.groups, chosen) * profile.batch / times)}
