"""In which number format a runtime computes static int8 fastest: asked, since the wrong one can be slower than fp32."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any, Literal

import onnx

from evaluators.probing.questions import Answer
from evaluators.processes.locks import pause_point
from evaluators.processes.sandbox_child import report
from evaluators.quantize import Quantizer, Scheme, activation_tensors
from evaluators.quantize.calibration import Ranges, calibrate
from hwprofiles import Precision, digest_of
from hwprofiles.errors import BuildFailed, UnsupportedOp
from search.folders import write_json
from search.gains.reduced_range import lost_on, may_saturate, wants_less
from search.gains.whole_model import LIMIT_S, WholeModel, runs
from search.subject import Draft, Subject

SAMPLES = 128
"""Of calibration, unless a job says otherwise."""

_FORMATS: tuple[tuple[Literal["uint8", "int8"], bool], ...] = (("uint8", False), ("int8", True))
"""Activation type, and whether zero lies in its middle: what processors' kernels take, and what GPUs' and OpenVINO's do
(with a zero elsewhere OpenVINO computes matrix products on floats)."""


_REFUSED = (BuildFailed.state, UnsupportedOp.state)


def best_static(
    model: WholeModel, runtime: str, base: Scheme | None = None, method: str = "minmax", samples: int = SAMPLES,
    activations: str = "auto",
) -> tuple[Scheme | None, Answer]:  # fmt: skip
    """The number format in which the whole model in static int8 is fastest in a runtime, with what it gains there.

    A format that is refused is asked about again with biases in float, as TensorRT wants them. None, and the last
    reason, where no format runs.
    """
    best: tuple[Scheme | None, Answer] = (None, {"reason": "no layer can be static int8"})
    for scheme, answer in static_answers(model, runtime, base or Scheme(), method, samples, activations):
        if best[0] is None or answer.get("ratio", 0.0) > best[1].get("ratio", 0.0):
            best = (scheme if runs(answer) else None, answer)
    return best


def static_answers(
    model: WholeModel, runtime: str, base: Scheme, method: str, samples: int, activations: str
) -> Iterator[tuple[Scheme, Answer]]:
    """Every number format with what the whole model in static int8 gains by it in a runtime."""
    if not any(Precision.INT8 in group.precisions for group in model.subject.groups):
        return
    for kind, symmetric in _FORMATS:
        if activations not in ("auto", kind):
            continue
        for integer_bias in (True, False):
            scheme = replace(
                base, activation_type=kind, symmetric_activations=symmetric, integer_bias=integer_bias
            )  # fmt: skip
            answer = static_gain(model, runtime, scheme, method, samples)
            yield scheme, answer
            if not answer.get("reason", "").startswith(_REFUSED):
                break


def in_best_range(
    model: WholeModel, runtime: str, scheme: Scheme, method: str = "minmax", samples: int = SAMPLES
) -> list[tuple[Scheme, Answer]]:
    """A number format with what it gains and, for a processor that may saturate, the same with weights of 7 bits, with
    what each ``loss``es there; the better one first, see :func:`search.gains.reduced_range.wants_less`."""
    full = static_gain(model, runtime, scheme, method, samples)
    if not may_saturate(model.device.profile) or not any(Precision.INT8 in g.precisions for g in model.subject.groups):
        return [(scheme, full)]
    both: list[tuple[Scheme, Answer]] = []
    for one in (scheme, replace(scheme, reduce_range=True)):
        answer = static_gain(model, runtime, one, method, samples)
        loss = lost_on(model, _question(one, method, samples), _in_static(model, one, method, samples), runtime)
        both.append((one, answer if loss is None else {**answer, "loss": loss}))
    return both[::-1] if wants_less(both[0][1], both[1][1]) else both


def static_gain(
    model: WholeModel, runtime: str, scheme: Scheme, method: str = "minmax", samples: int = SAMPLES,
    limit_s: float = LIMIT_S,
) -> Answer:  # fmt: skip
    """What the whole model in static int8 gains by one number format in a runtime."""
    report(f"asking the device about {scheme.activation_type} activations in {runtime}")
    build = _in_static(model, scheme, method, samples)
    return model.gain(_question(scheme, method, samples), build, runtime, limit_s)


def _question(scheme: Scheme, method: str, samples: int) -> list[Any]:
    return ["static", asdict(scheme), method, samples]


def _in_static(model: WholeModel, scheme: Scheme, method: str, samples: int) -> Callable[[], onnx.ModelProto]:
    """Builds the whole model in static int8."""
    subject = model.subject
    everything = {g.name: Precision.INT8 for g in subject.groups if Precision.INT8 in g.precisions}

    def build() -> onnx.ModelProto:
        draft = Draft(subject.model, subject.groups)
        ranges = calibrated(subject, draft, method, samples)
        return Quantizer(draft.model, draft.groups, ranges, scheme).apply(everything)

    return build


def calibrated(subject: Subject, draft: Draft, method: str, samples: int) -> Ranges:
    """The ranges of a graph's activations: calibrated once for a model, its data and a method, whatever job asks."""
    tensors = sorted(activation_tensors(draft.model, draft.groups))
    changed = [draft.digest] if draft.digest else []
    name = digest_of([subject.digest, graph_digest(draft.model), tensors, method, samples, *changed])
    path = subject.cache / "calibration" / f"{name}.json"
    if path.exists():
        return Ranges.from_dict(json.loads(path.read_text()))
    report(f"calibrating activations ({method})")
    batches = subject.calibration_batches(samples)

    def between_batches() -> None:
        pause_point()
        subject.deadline.check()

    ranges = calibrate(draft.model, batches, tensors, method, between_batches=between_batches)  # type: ignore[arg-type]
    write_json(path, ranges.to_dict())
    return ranges


def graph_digest(model: onnx.ModelProto) -> str:
    """Names a graph's structure; weights belong to the subject's digest, or the draft's."""
    return digest_of([[node.op_type, list(node.input), list(node.output)] for node in model.graph.node])


def answer_row(runtime: str, precision: str, scheme: Scheme | None, answer: Answer) -> dict[str, Any]:
    """An answer about the whole model as it is shown."""
    symmetric = scheme is not None and scheme.symmetric_activations
    reduced = scheme is not None and scheme.reduce_range
    activations = (
        "" if scheme is None else scheme.activation_type + " symmetric" * symmetric + ", 7-bit weights" * reduced
    )
    return {"layer": "all", "precision": precision, "activations": activations, "runtime": runtime, **answer}
