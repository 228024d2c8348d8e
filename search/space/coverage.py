"""Coverage of a search space: layers with a decision, layers without one, and precisions that were ruled out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import onnx

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.left_alone import left_alone
from evaluators.probing.answers import failure_of
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from hwprofiles.errors import transient_states
from search.space.candidate import Space

Json = dict[str, Any]


def coverage(
    model: onnx.ModelProto,
    groups: Sequence[LayerGroup],
    space: Space,
    answers: Sequence[Mapping[str, Any]],
    choices: Iterable[Precision] = tuple(Precision),
    trained: Collection[str] = (),
    runtime: str = "onnxruntime",
) -> Json:
    """Returns the coverage of a space as JSON-able data.

    ``choices`` are the precisions that the job lets techniques choose; ``trained`` are groups whose number formats are
    decided by training; ``runtime`` is the device's first runtime, in
    which single layers were measured. The keys of the result:

    - ``layers``: number of layers of the model; ``decided``: those with something to choose; ``decisions``: number of
      groups with a choice.
    - ``left_alone``: each remaining layer, with the reason.
    - ``left_out``: each precision among ``choices`` that is not in the space, or that some runtime replaces, with the
      measured answer that ruled it out; one entry per runtime that answered.
    - ``unanswered``: precision and runtime without an answer, because time was short or the machine busy. These stay in
      the space.
    """
    names = {decision.target for decision in space.decisions if decision.scope == "layer"} | set(trained)
    decided = {node for group in groups if group.name in names for node in group.nodes}
    alone = [asdict(layer) for layer in left_alone(model, decided)]
    placed = [{"runtime": runtime, **answer} for answer in answers]
    return {
        "layers": len(decided) + len(alone),
        "decided": len(decided),
        "decisions": len(names),
        "left_alone": alone,
        "left_out": _left_out(groups, space, placed, choices),
        "unanswered": _open_questions(placed),
    }


def _left_out(
    groups: Sequence[LayerGroup], space: Space, answers: Sequence[Mapping[str, Any]], choices: Iterable[Precision]
) -> list[Json]:
    """Precisions that are not in the space, then those that some runtime replaces."""
    possible = {precision for group in groups for precision in group.precisions} - {Precision.FP32}
    choices = tuple(choices)
    held = {value for decision in space.decisions if decision.scope == "layer" for value in decision.choices}
    out = [precision for precision in choices if precision in possible and precision.value not in held]
    nowhere = [
        _exclusion(precision, runtime, answers) for precision in out for runtime in _runtimes_of(precision, answers)
    ]
    replaced = [replacement for replacement in space.replacements if replacement.value in choices]
    return nowhere + [_exclusion(Precision(row.value), row.runtime, answers) for row in replaced]


def _runtimes_of(precision: Precision, answers: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Returns the runtimes that answered about a precision if several did; else None, for the device as a whole."""
    runtimes = dict.fromkeys(str(answer["runtime"]) for answer in answers if answer.get("precision") == precision)
    return list(runtimes) if len(runtimes) > 1 else [None]


def _open_questions(answers: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Returns each precision and runtime about which all answers failed for a transient reason."""
    silent: dict[tuple[str, str], bool] = {}
    for answer in answers:
        if "precision" in answer:
            question = (str(answer["precision"]), str(answer["runtime"]))
            transient = not answer.get("ci95") and failure_of(answer) in transient_states()
            silent[question] = silent.get(question, True) and transient
    return [{"precision": precision, "runtime": runtime} for (precision, runtime), none in silent.items() if none]


def _exclusion(precision: Precision, runtime: str | None, answers: Sequence[Mapping[str, Any]]) -> Json:
    """Returns the entry of a precision that was ruled out, with the best of the answers about it."""
    family = None if runtime is None else runtime_of(runtime).family
    own = [
        answer
        for answer in answers
        if answer.get("precision") == precision and family in (None, runtime_of(answer["runtime"]).family)
    ]
    timed = [answer for answer in own if answer.get("ci95")]
    best = max(timed, key=lambda answer: float(answer["ratio"]), default=None)
    if best is not None:
        low, high = best["ci95"]
        where = "in this runtime" if runtime else "on this device"
        result = {"ratio": best["ratio"], "ci95": [low, high], "why": f"slower than fp32 {where}"}
    else:
        reasons = [str(answer["reason"]) for answer in own if answer.get("reason")]
        result = {"ratio": None, "ci95": None, "why": reasons[0] if reasons else "not faster than fp32 in this runtime"}
    device = (best or {}).get("device")
    return {
        "precision": precision.value,
        **({"runtime": runtime} if runtime else {}),
        **({"device": device} if device else {}),
        **result,
    }
