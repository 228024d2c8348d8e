"""Any ONNX model on a device: its latency, alone or against a second model, and its memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.child import Progress
from evaluators.device import open_device
from evaluators.latency import Protocol
from evaluators.onnx_model import input_specs, load_model
from evaluators.runtimes.base import Array, TensorSpec
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, InvalidInput, ParetuneError

_OPEN_DIMENSION = 8
"""What stands in for a dimension that the model leaves open, other than the batch."""

LIMIT_S = 300.0


def profile_model(model: Path, against: Path | None, profile: Profile, progress: Progress) -> dict[str, Any]:
    """Latency of ``model`` on random inputs, paired with ``against`` where given, else with itself.

    ``speedup`` (only with ``against``) is the other model's time over this one's. Raises :class:`InvalidInput` for
    files that cannot be read or take other inputs than one another.
    """
    loaded = load_model(model)
    specs = input_specs(loaded)
    if against is not None:
        other = input_specs(load_model(against))
        if [(s.name, s.dtype) for s in specs] != [(s.name, s.dtype) for s in other]:
            raise InvalidInput(
                f"{against} takes the inputs {[s.name for s in other]}, {model} takes {[s.name for s in specs]}",
                "compare two models of the same inputs",
            )
    sample = random_inputs(specs, profile.batch)
    device = open_device(profile)
    try:
        progress("measuring latency")
        measured = device.measure(against or model, model, sample, protocol=Protocol(), limit_s=LIMIT_S)
        progress("measuring memory")
        memory = device.peak_memory_bytes(model, sample, limit_s=LIMIT_S)
    except CandidateError as error:
        raise ParetuneError(f"{model} cannot be measured: {error.message}", error.hint or "check the model") from None
    finally:
        device.close()
    document: dict[str, Any] = {
        "model": str(model),
        "device": profile.device,
        "profile_digest": profile.digest,
        "latency_ms": measured.metrics()["latency_ms"],
        "size_bytes": model.stat().st_size,
        "peak_memory_bytes": memory,
        "marks": list(measured.marks),
        "operators": [
            {"operator": name, "count": count}
            for name, count in Counter(node.op_type for node in loaded.graph.node).most_common()
        ],
    }
    if against is not None:
        document |= {
            "against": str(against),
            "speedup": measured.metrics()["speedup"],
            "baseline": measured.baseline_metrics(),
        }
    return document


def random_inputs(specs: tuple[TensorSpec, ...], batch: int) -> dict[str, Array]:
    """Standard normal numbers, zeros for integers and text, in the shapes that the model takes."""
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
