"""Checks of parts of a job file, against the names that exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evaluators.measuring.statistics import PERCENTILE_SAMPLES
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.options import validate_options

if TYPE_CHECKING:
    from search.strategies.staged import Stage

PERCENTILE = "latency_ms.p"

_MEANT = {**dict.fromkeys(("quantisation", "quantise", "quant", "int8", "int4"), "precision"), "fusion": "graph"}
"""Techniques by other usual names."""


def check_techniques(space: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses unknown techniques, wrong options, and two techniques that decide the same."""
    from search.techniques import TECHNIQUES

    deciding: dict[str, str] = {}
    for name, options in sorted(space.items()):
        if name not in TECHNIQUES:
            raise _unknown_technique(name, "space")
        validate_options(TECHNIQUES[name].Options, options, f"space.{name}")
        question = TECHNIQUES[name].decides
        if question in deciding:
            raise InvalidInput(
                f"space: {deciding[question]} and {name} both decide {question}", "leave one of them out"
            )
        deciding |= {question: name} if question else {}


def check_trainable(task: str, space: Iterable[str]) -> None:
    """Refuses techniques that train, if the task is known to have only a file."""
    from search.tasks import TASKS
    from search.techniques import trains

    for name in space:
        if trains([name]) and task in TASKS and not TASKS[task].trainable:
            raise InvalidInput(
                f"space: {name} needs a PyTorch model, but task {task!r} has only an ONNX file",
                f"leave {name} out, or make the task a function that returns a paretune.TorchTask",
            )


def check_filters(filters: Mapping[str, Mapping[str, Any]], space: Mapping[str, Any]) -> None:
    """Refuses unknown filters, wrong options, and filters without a technique that they could be about."""
    from search.filters import make_filters
    from search.techniques import TECHNIQUES, trains

    make_filters(filters)
    if filters and not trains(space):
        names = [name for name in TECHNIQUES if trains([name])]
        raise InvalidInput(
            "filters: no technique of the job changes the module, so there is nothing to filter",
            f"add {either(names)} to the space, or leave filters out",
        )


def check_stages(stages: Sequence[Stage], space: Mapping[str, Any] | None) -> None:
    """Refuses stages with unknown techniques, or with techniques of a job that names none."""
    from search.techniques import TECHNIQUES

    named = {name: f"stages.{number}.space" for number, stage in enumerate(stages) for name in stage.space}
    for name, where in named.items():
        if name not in TECHNIQUES:
            raise _unknown_technique(name, where)
    if named and space is None:
        name, where = next(iter(named.items()))
        sections = ", ".join(f"{name}: {{}}" for name in named)
        raise InvalidInput(f"{where}: names {name!r}, but the job has no space", f"write: space: {{{sections}}}")


def _unknown_technique(name: str, where: str) -> InvalidInput:
    from search.techniques import TECHNIQUES

    meant = _MEANT.get(name.lower().replace("quantiz", "quantis"))
    hint = f"did you mean {meant!r}?" if meant else nearest(name, list(TECHNIQUES))
    return InvalidInput(f"{where}: unknown technique {name!r}", hint)


def check_percentile(metric: str, place: str) -> None:
    """Raises :class:`InvalidInput` for a percentile that is not computed, before anything is measured."""
    percentiles = [50, *PERCENTILE_SAMPLES]
    if metric.startswith(PERCENTILE) and metric not in [f"{PERCENTILE}{percent}" for percent in percentiles]:
        raise InvalidInput(
            f"{place}: there is no metric {metric!r}",
            f"write {either(f'{PERCENTILE}{percent}' for percent in percentiles)}",
        )


def either(names: Iterable[str]) -> str:
    """Returns names as a choice: ``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
