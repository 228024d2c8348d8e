"""Any ONNX model on a device: its latency, alone or against a second model, its memory, and where its time goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device, open_device
from evaluators.devices.execution import Execution, match_layers, weights_of
from evaluators.devices.node_times import measure_node_times
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.throughput import Load
from evaluators.processes.sandbox_child import Progress
from evaluators.tensors import Array
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, InvalidInput, ParetuneError
from search.analysis.bottlenecks import find_bottlenecks
from search.analysis.profiled_models import ProfiledModel, match_inputs, merge_names, open_model, sample_of

LIMIT_S = 300.0

_PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "onnxruntime:cuda": "CUDAExecutionProvider",
    "onnxruntime:tensorrt": "TensorrtExecutionProvider",
}
"""Where every node should run; other runtimes have only one provider."""


def profile_model(
    model: Path,
    against: Path | None,
    profile: Profile,
    progress: Progress,
    *,
    load: Load | None = None,
    runtime: str | None = None,
    against_runtime: str | None = None,
) -> dict[str, Any]:
    """Measures latency and memory of ``model`` on random inputs, paired with ``against`` or itself, in minutes.

    Both are files or bundles' folders; for their runtimes see :func:`open_model`. ``speedup`` (only with
    ``against``) is the other model's time over this one's; ``throughput`` (only under a ``load``) pairs them likewise.
    Raises :class:`InvalidInput` for files that cannot be read or whose inputs differ in more than their names.
    """
    ours = open_model(model, runtime, profile)
    if against is None and against_runtime is not None:
        raise InvalidInput("--against-runtime: there is no second model", "name it with --against")
    theirs = ours if against is None else open_model(against, against_runtime, profile)
    matched = match_inputs(ours, theirs)
    specs = {spec.name: spec for spec in theirs.specs}
    sample = sample_of(ours.specs, {name: specs[other] for name, other in matched.items()}, profile.batch)
    device = open_device(theirs.on(profile))
    try:
        measured, figures = _measure(device, ours, theirs, sample, merge_names(sample, matched), load, progress)
        progress("timing each node")
        execution = _execution(profile, ours, sample)
        theirs_sample = {matched[name]: values for name, values in sample.items()}
        compared = None if against is None else _execution(profile, theirs, theirs_sample)
    except CandidateError as error:
        raise ParetuneError(f"{model} cannot be measured: {error.message}", error.hint or "check the model") from None
    finally:
        device.close()
    document = {
        "model": str(model),
        "device": profile.device,
        "profile_digest": profile.digest,
        "runtime": _runtime(ours),
        **figures,
        "size_bytes": ours.path.stat().st_size,
        "marks": list(measured.marks),
        "health": None if measured.health is None else measured.health.to_dict(),
    }
    document |= _explain(profile, ours, execution, compared, measured, document["latency_ms"]["p50"])
    if against is not None:
        document |= {
            "against": str(against),
            "against_runtime": _runtime(theirs),
            "matched_inputs": {name: other for name, other in matched.items() if name != other},
            "speedup": measured.metrics()["speedup"],
            "baseline": measured.baseline_metrics(),
        }
    return document


def _measure(
    device: Device,
    ours: ProfiledModel,
    theirs: ProfiledModel,
    sample: Mapping[str, Array],
    both: Mapping[str, Array],
    load: Load | None,
    progress: Progress,
) -> tuple[Measurement, dict[str, Any]]:
    """Returns the paired latency, and the figures of our model."""
    progress("measuring latency")
    request = LatencyRequest(theirs.path, ours.path, both, Protocol(), LIMIT_S, ours.runtime)
    measured = device.measure(request)
    progress("measuring memory")
    memory = device.peak_memory_bytes(ours.path, sample, limit_s=LIMIT_S, runtime=ours.runtime)
    figures = {"latency_ms": measured.metrics()["latency_ms"], "peak_memory_bytes": memory}
    if load is not None:
        progress("measuring throughput")
        throughput = device.throughput(theirs.path, ours.path, both, load=load, limit_s=LIMIT_S, runtime=ours.runtime)
        figures |= {} if throughput is None else throughput.metrics()
    return measured, figures


def _explain(
    profile: Profile,
    model: ProfiledModel,
    ours: Execution,
    theirs: Execution | None,
    measured: Measurement,
    latency_ms: float,
) -> dict[str, Any]:
    """Returns the part of the document that says where the time goes, and why the model is not faster."""
    bottlenecks = find_bottlenecks(
        ours,
        theirs,
        latency_ms=latency_ms,
        speedup=None if theirs is None else (measured.ratio, *measured.ratio_ci95),
        provider=_PROVIDERS.get(model.runtime, ""),
        lanes=vector_lanes(profile.instruction_sets),
    )
    return {
        "findings": [asdict(bottleneck) for bottleneck in bottlenecks],
        "layers": _layers(ours, theirs),
        "operators": [
            {"operator": name, "count": count}
            for name, count in Counter(node.op_type for node in model.model.graph.node).most_common()
        ],
    }


def _runtime(model: ProfiledModel) -> dict[str, Any]:
    return {"name": model.runtime, "version": model.version, "by_bundle": model.by_bundle}


def _execution(profile: Profile, model: ProfiledModel, sample: Mapping[str, Array]) -> Execution:
    nodes = measure_node_times(model.on(profile), model.path, sample, limit_s=LIMIT_S)
    return Execution(nodes, weights_of(model.model))


def _layers(ours: Execution, theirs: Execution | None) -> list[dict[str, Any]]:
    """Returns every node in order of execution; layers that the other model has too, with their time in it."""
    macs = {id(layer.node): layer.macs for layer in ours.layers}
    before = {} if theirs is None else {id(layer.node): match.node.ms for layer, match in match_layers(ours, theirs)}
    return [
        {
            "name": node.name,
            "operator": node.operator,
            "ms": round(node.ms, 6),
            "share": round(node.ms / ours.total_ms, 6) if ours.total_ms else None,
            "against_ms": round(before[id(node)], 6) if id(node) in before else None,
            "macs": macs.get(id(node)),
            "provider": node.provider,
            "type": node.inputs[0][0] if node.inputs else None,
        }
        for node in ours.nodes
    ]


def vector_lanes(instruction_sets: Collection[str]) -> int:
    """Returns the number of 32-bit values in a vector register; 0 if unknown."""
    widths = (("avx512f", 16), ("avx2", 8), ("asimd", 4))
    return next((lanes for name, lanes in widths if name in instruction_sets), 0)
