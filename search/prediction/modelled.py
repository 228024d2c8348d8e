"""Metrics of candidates on devices that measure nothing: made up (dry run), or bounded by the device's peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.modelled.dry_run import Pruned, dry_run_metrics, precisions_of
from evaluators.modelled.roofline import roofline_metrics
from hwprofiles import Precision, Profile
from hwprofiles.errors import InvalidInput
from search.fronts.metrics import merge_devices
from search.job.devices import JobDevice
from search.space.layer_widths import LayerWidth, narrow_groups
from search.techniques.trained_formats import FLOAT, PREFIX, TARGET


def invent_metrics(
    devices: Sequence[JobDevice],
    groups: Sequence[LayerGroup],
    decisions: Mapping[str, str],
    digest: str,
    widths: Sequence[LayerWidth] = (),
) -> dict[str, Any]:
    """Make up a candidate's metrics on every device of a dry run; ``widths`` say how decisions narrow the layers."""
    decided, pruned = _equally_fast(decisions), _prune(groups, decisions, widths)
    metrics = {
        device.label: dry_run_metrics(groups, decided, digest, device.profile, pruned)
        | _operations(device.profile, groups, decisions, pruned)
        for device in devices
    }
    return (
        metrics[devices[0].label] if len(devices) == 1 else merge_devices([device.label for device in devices], metrics)
    )


def invent_baseline(
    devices: Sequence[JobDevice], groups: Sequence[LayerGroup], decisions: Mapping[str, str], digest: str
) -> dict[str, Any]:
    """Make up the metrics of the fp32 model, whose speed-up is 1 by definition."""
    metrics = invent_metrics(devices, groups, decisions, digest)
    unchanged = {"ratio": 1.0, "ci95": [1.0, 1.0]}
    names = [name for name in metrics if name.partition("@")[0] == "speedup"]
    return metrics | {name: dict(unchanged) for name in names}


def bounds(
    profile: Profile,
    groups: Sequence[LayerGroup],
    decisions: Mapping[str, str],
    widths: Sequence[LayerWidth] = (),
) -> dict[str, Any]:
    """A candidate's best possible metrics on a modelled device."""
    if profile.peaks is None:
        raise InvalidInput(
            f"device {profile.device!r} has no peaks for a roofline model", "name a device of the catalogue"
        )
    pruned = _prune(groups, decisions, widths)
    metrics = roofline_metrics(groups, _equally_fast(decisions), profile.peaks, profile.batch, pruned)
    return metrics | _operations(profile, groups, decisions, pruned)


def _prune(groups: Sequence[LayerGroup], decisions: Mapping[str, str], widths: Sequence[LayerWidth]) -> Pruned:
    deciding = {name for scale in widths for name in scale.decisions}
    kept = {name: float(value) for name, value in decisions.items() if name in deciding}
    return Pruned(narrow_groups(groups, widths, decisions), kept)


def _formats(decisions: Mapping[str, str]) -> dict[str, str]:
    """The trained number formats by layer."""
    return {name.partition(":")[2]: value for name, value in decisions.items() if name.startswith(PREFIX)}


def _equally_fast(decisions: Mapping[str, str]) -> dict[str, str]:
    """Decisions of equal speed without trained formats: int8 is as fast as untrained, other formats as fp32."""
    quick = {f"precision:{name}": value for name, value in _formats(decisions).items() if value == Precision.INT8}
    return {**decisions, **quick}


def _operations(
    profile: Profile, groups: Sequence[LayerGroup], decisions: Mapping[str, str], pruned: Pruned
) -> dict[str, Any]:
    """Bit operations; a one-shot search is taken to hit its target."""
    target = decisions.get(TARGET, FLOAT)
    times = 1.0 if target == FLOAT else float(target)
    precisions = {name: precision.value for name, precision in precisions_of(groups, _equally_fast(decisions)).items()}
    chosen = precisions | _formats(decisions)
    return {"bit_operations": round(bit_operations(pruned.groups, chosen) * profile.batch / times)}
