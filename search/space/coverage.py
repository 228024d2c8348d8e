"""What a search space holds and what it does not: layers that are decided or left alone, and precisions left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import onnx

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.left_alone import left_alone
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from hwprofiles.errors import transient_states
from search.space.candidate import Space

Json = dict[str, Any]

COVERAGE = "coverage"
"""Where a job's facts hold it."""

_TECHNIQUE = "precision"
_PREFIX = f"{_TECHNIQUE}:"


def coverage(
    model: onnx.ModelProto,
    groups: Sequence[LayerGroup],
    space: Space,
    answers: Sequence[Mapping[str, Any]],
    choices: Iterable[Precision] = tuple(Precision),
    trained: Collection[str] = (),
    runtime: str = "onnxruntime",
) -> Json:
    """As JSON-able data. ``trained`` are groups whose number formats a training decides, ``runtime`` is the device's
    first one, which answers about single layers.

    ``layers`` is how many layers the model has, ``decided`` how many of them have a precision to choose, in so many
    ``decisions``. ``left_alone`` names each of the others with the reason, ``left_out`` each precision among the
    ``choices`` that has no place in the space, or that some runtime does without, with the measured answer that ruled
    it out, one for each runtime that was asked. ``unanswered`` names what the device said nothing about, because time
    was short or the machine busy: it stays in the space as it is.
    """
    names = {decision.name.removeprefix(_PREFIX) for decision in space.decisions if decision.technique == _TECHNIQUE}
    names.update(trained)
    decided = {node for group in groups if group.name in names for node in group.nodes}
    alone = [asdict(one) for one in left_alone(model, decided)]
    placed = [{"runtime": runtime, **answer} for answer in answers]
    return {
        "layers": len(decided) + len(alone),
        "decided": len(decided),
        "decisions": len(names),
        "left_alone": alone,
        "left_out": _left_out(groups, space, placed, choices),
        "unanswered": _unanswered(placed),
    }


def in_words(found: Mapping[str, Any]) -> list[str]:
    """A line on the layers, and one on the precisions that were left out where there are any."""
    alone = Counter(one["why"] for one in found["left_alone"])
    reasons = "; ".join(f"{count} × {why}" for why, count in alone.most_common(4)) + "; …" * (len(alone) > 4)
    lines = [
        f"{found['decided']} of {found['layers']} layers decided, {len(found['left_alone'])} left alone"
        + (f": {reasons}" if alone else "")
    ]
    places: dict[tuple[str, str], list[str]] = {}  # a family's runtimes share an answer
    for one in found["left_out"]:
        places.setdefault((one["precision"], _why(one)), []).extend([one["runtime"]] if one.get("runtime") else [])
    out = [
        f"{precision}{' in ' if there else ''}{' and '.join(there)} ({why})"
        for (precision, why), there in places.items()
    ]
    lines += [f"left out: {', '.join(out)}"] if out else []
    open_questions = [f"{one['precision']} in {one['runtime']}" for one in found.get("unanswered", ())]
    return lines + (
        [f"no time or too busy to ask the device first about: {', '.join(open_questions)}"] if open_questions else []
    )


def _why(one: Mapping[str, Any]) -> str:
    """The answer that ruled a precision out: ``0.71x, 0.69 to 0.73``, or a reason."""
    if not one.get("ci95"):
        return str(one["why"])
    there = ": fp32 is faster there" if one.get("runtime") else ""
    return f"{one['ratio']:.2f}x, {one['ci95'][0]:.2f} to {one['ci95'][1]:.2f}{there}"


def _left_out(
    groups: Sequence[LayerGroup], space: Space, answers: Sequence[Mapping[str, Any]], choices: Iterable[Precision]
) -> list[Json]:
    """Precisions without a place in the space, then those that some runtime does without."""
    possible = {precision for group in groups for precision in group.precisions}
    there = {value for one in space.decisions if one.technique == _TECHNIQUE for value in one.choices}
    out = [one for one in choices if one in possible and one is not Precision.FP32 and one.value not in there]
    nowhere = [_answered(one, place, answers) for one in out for place in _asked_places(one, answers)]
    replaced = [one for one in space.replacements if one.technique == _TECHNIQUE]
    return nowhere + [_answered(Precision(one.value), one.runtime, answers) for one in replaced]


def _asked_places(precision: Precision, answers: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """The runtimes that answered about a precision where several did; else None, for the device as a whole."""
    places = dict.fromkeys(str(one["runtime"]) for one in answers if one.get("precision") == precision)
    return list(places) if len(places) > 1 else [None]


def _unanswered(answers: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Each precision and runtime of which no answer tells anything."""
    silent: dict[tuple[str, str], bool] = {}
    for one in answers:
        if "precision" in one:
            what = (str(one["precision"]), str(one["runtime"]))
            passing = not one.get("ci95") and str(one.get("reason", "")).startswith(transient_states())
            silent[what] = silent.get(what, True) and passing
    return [{"precision": precision, "runtime": runtime} for (precision, runtime), none in silent.items() if none]


def _answered(precision: Precision, runtime: str | None, answers: Sequence[Mapping[str, Any]]) -> Json:
    """What ruled a precision out: the best of the answers about it."""
    family = None if runtime is None else runtime_of(runtime).family
    own = [
        one
        for one in answers
        if one.get("precision") == precision and family in (None, runtime_of(one["runtime"]).family)
    ]
    timed = [one for one in own if one.get("ci95")]
    best = max(timed, key=lambda one: float(one["ratio"]), default=None)
    if best is not None:
        low, high = best["ci95"]
        where = "in this runtime" if runtime else "on this device"
        answer = {"ratio": best["ratio"], "ci95": [low, high], "why": f"slower than fp32 {where}"}
    else:
        reasons = [str(one["reason"]) for one in own if one.get("reason")]
        answer = {"ratio": None, "ci95": None, "why": reasons[0] if reasons else "not faster than fp32 in this runtime"}
    device = (best or {}).get("device")
    return {
        "precision": precision.value,
        **({"runtime": runtime} if runtime else {}),
        **({"device": device} if device else {}),
        **answer,
    }
