"""Any ONNX model on a device: its latency, alone or against a second model, its memory, and where its time goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from evaluators.devices.device import open_device
from evaluators.devices.execution import Execution, match_layers, weights_of
from evaluators.devices.node_times import measure_node_times
from evaluators.graphs.model import input_specs, load_model
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.throughput import Load
from evaluators.processes.sandbox_child import Progress
from evaluators.tensors import Array, TensorSpec
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, InvalidInput, ParetuneError
from search.analysis.bottlenecks import find_bottlenecks

_OPEN_DIMENSION = 8
"""Size of open dimensions other than the batch."""

LIMIT_S = 300.0

_PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "onnxruntime:cuda": "CUDAExecutionProvider",
    "onnxruntime:tensorrt": "TensorrtExecutionProvider",
}
"""Where every node should run; other runtimes have only one provider."""


def profile_model(
    model: Path, against: Path | None, profile: Profile, progress: Progress, *, load: Load | None = None
) -> dict[str, Any]:
    """Measures latency and memory of ``model`` on random inputs, paired with ``against`` or itself, in minutes.

    ``speedup`` (only with ``against``) is the other model's time over this one's; ``throughput`` (only under a
    ``load``) pairs them likewise. Raises :class:`InvalidInput` for files that cannot be read or have different inputs.
    """
    loaded = load_model(model)
    specs = input_specs(loaded)
    compared = None if against is None else load_model(against)
    if compared is not None:
        baseline_specs = input_specs(compared)
        if [(s.name, s.dtype) for s in specs] != [(s.name, s.dtype) for s in baseline_specs]:
            raise InvalidInput(
                f"{against} takes the inputs {[s.name for s in baseline_specs]}, "
                f"{model} takes {[s.name for s in specs]}",
                "compare two models of the same inputs",
            )
    sample = random_inputs(specs, profile.batch)
    device = open_device(profile)
    try:
        progress("measuring latency")
        measured = device.measure(LatencyRequest(against or model, model, sample, Protocol(), LIMIT_S))
        progress("measuring memory")
        memory = device.peak_memory_bytes(model, sample, limit_s=LIMIT_S)
        throughput = None
        if load is not None:
            progress("measuring throughput")
            throughput = device.throughput(against or model, model, sample, load=load, limit_s=LIMIT_S)
        progress("timing each node")
        ours = _execution(profile, model, loaded, sample)
        theirs = None if against is None or compared is None else _execution(profile, against, compared, sample)
    except CandidateError as error:
        raise ParetuneError(f"{model} cannot be measured: {error.message}", error.hint or "check the model") from None
    finally:
        device.close()
    document = _document(model, profile, measured, memory)
    speedup = None if against is None else (measured.ratio, *measured.ratio_ci95)
    bottlenecks = find_bottlenecks(
        ours,
        theirs,
        latency_ms=document["latency_ms"]["p50"],
        speedup=speedup,
        provider=_PROVIDERS.get(profile.runtime, ""),
        lanes=vector_lanes(profile.instruction_sets),
    )
    document |= {
        "findings": [asdict(bottleneck) for bottleneck in bottlenecks],
        "layers": _layers(ours, theirs),
        "operators": [
            {"operator": name, "count": count}
            for name, count in Counter(node.op_type for node in loaded.graph.node).most_common()
        ],
    }
    if throughput is not None:
        document |= throughput.metrics()
    if against is not None:
        document |= {
            "against": str(against),
            "speedup": measured.metrics()["speedup"],
            "baseline": measured.baseline_metrics(),
        }
    return document


def _document(model: Path, profile: Profile, measured: Measurement, memory: int) -> dict[str, Any]:
    """Returns the part of the document that says what was measured."""
    return {
        "model": str(model),
        "device": profile.device,
        "profile_digest": profile.digest,
        "latency_ms": measured.metrics()["latency_ms"],
        "size_bytes": model.stat().st_size,
        "peak_memory_bytes": memory,
        "marks": list(measured.marks),
        "health": None if measured.health is None else measured.health.to_dict(),
    }


def _execution(profile: Profile, path: Path, model: onnx.ModelProto, sample: Mapping[str, Array]) -> Execution:
    return Execution(measure_node_times(profile, path, sample, limit_s=LIMIT_S), weights_of(model))


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


def random_inputs(specs: tuple[TensorSpec, ...], batch: int) -> dict[str, Array]:
    """Random inputs in the model's shapes: standard normal numbers, zeros for integers and text."""
    rng = np.random.default_rng(0)
    sample: dict[str, Array] = {}
    for spec in specs:
        shape = [
            (batch if axis == 0 else _OPEN_DIMENSION) if dim is None else dim for axis, dim in enumerate(spec.shape)
        ]
        kind = np.dtype(spec.dtype)
        values = rng.standard_normal(shape) if np.issubdtype(kind, np.floating) else np.zeros(shape)
        sample[spec.name] = values.astype(kind)
    return sample
