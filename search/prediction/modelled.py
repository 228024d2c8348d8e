"""What a candidate might measure on a job's devices that measure nothing: made up, or bounded by their peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.modelled.dry_run import Pruned, modelled_metrics, precisions_of
from evaluators.modelled.roofline import roofline_metrics
from hwprofiles import Precision, Profile
from hwprofiles.errors import InvalidInput
from search.fronts.metrics import joined
from search.job.devices import JobDevice
from search.space.layer_widths import LayerScale, narrowed
from search.techniques.trained_formats import FLOAT, PREFIX, TARGET


def invented(
    devices: Sequence[JobDevice],
    groups: Sequence[LayerGroup],
    decisions: Mapping[str, str],
    digest: str,
    scales: Sequence[LayerScale] = (),
) -> dict[str, Any]:
    """A candidate's made-up metrics, on every device of a dry run; ``scales`` say how decisions narrow the layers."""
    decided, pruned = _quickened(decisions), _pruned(groups, decisions, scales)
    metrics = {
        device.label: modelled_metrics(groups, decided, digest, device.profile, pruned)
        | _operations(device.profile, groups, decisions, pruned)
        for device in devices
    }
    return metrics[devices[0].label] if len(devices) == 1 else joined([one.label for one in devices], metrics)


def invent_baseline(
    devices: Sequence[JobDevice], groups: Sequence[LayerGroup], decisions: Mapping[str, str], digest: str
) -> dict[str, Any]:
    """The made-up metrics of the model as it is, whose speed-up is 1 by definition."""
    metrics = invented(devices, groups, decisions, digest)
    same = {"ratio": 1.0, "ci95": [1.0, 1.0]}
    names = [name for name in metrics if name.partition("@")[0] == "speedup"]
    return metrics | {name: dict(same) for name in names}


def bounds(
    profile: Profile,
    groups: Sequence[LayerGroup],
    decisions: Mapping[str, str],
    scales: Sequence[LayerScale] = (),
) -> dict[str, Any]:
    """What a candidate can do at best on a modelled device."""
    if profile.peaks is None:
        raise InvalidInput(f"device {profile.device!r} has no peaks to be modelled by", "name one of the catalogue")
    pruned = _pruned(groups, decisions, scales)
    found = roofline_metrics(groups, _quickened(decisions), profile.peaks, profile.batch, pruned)
    return found | _operations(profile, groups, decisions, pruned)


def _pruned(groups: Sequence[LayerGroup], decisions: Mapping[str, str], scales: Sequence[LayerScale]) -> Pruned:
    deciding = {name for scale in scales for name in scale.decisions}
    kept = {name: float(value) for name, value in decisions.items() if name in deciding}
    return Pruned(narrowed(groups, scales, decisions), kept)


def _formats(decisions: Mapping[str, str]) -> dict[str, str]:
    """The trained number formats by layer."""
    return {name.partition(":")[2]: value for name, value in decisions.items() if name.startswith(PREFIX)}


def _quickened(decisions: Mapping[str, str]) -> dict[str, str]:
    """Of trained number formats int8 is as quick as it is untrained, and others as fp32."""
    quick = {f"precision:{name}": value for name, value in _formats(decisions).items() if value == Precision.INT8}
    return {**decisions, **quick}


def _operations(
    profile: Profile, groups: Sequence[LayerGroup], decisions: Mapping[str, str], pruned: Pruned
) -> dict[str, Any]:
    """Bit operations; a search in one shot hits its target."""
    target = decisions.get(TARGET, FLOAT)
    times = 1.0 if target == FLOAT else float(target)
    precisions = {name: one.value for name, one in precisions_of(groups, _quickened(decisions)).items()}
    chosen = precisions | _formats(decisions)
    return {"bit_operations": round(bit_operations(pruned.groups, chosen) * profile.batch / times)}
