"""The answer to a job in one sentence: what its best compromise gains and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.evidence import Evidence
from dashboards.figures import figure, row_of, short_title
from dashboards.words.metrics import metric_names
from evaluators.metrics import base_of
from search.fronts.objectives import Constraint, metric_interval, metric_value

BEST_COMPROMISE = "the largest product of gains in all objectives; where none gains in all, the smallest largest loss"
"""What the best compromise is, in one line."""

_ALWAYS = ("speedup", "latency_ms", "size_bytes")
"""Costs that the sentence has anyway."""

_NOTICEABLE, _NOTICEABLE_SPEED = 1.02, 1.01
"""Ratios from which a difference in size and in speed is worth a word."""


def answer_of(front: Mapping[str, Any]) -> str | None:
    """Says in one sentence what the front's best compromise gains and costs, from a front's document of one device.

    Without one: why. None while nothing is known yet.
    """
    members = {member["candidate_id"]: member for member in front["front"]}
    best = members.get(front["best_compromise"] or "")
    if best is not None:
        return comparison_of(front, best["metrics"])
    if members:
        return "No candidate improves measurably on the unchanged model in any objective"
    if front["nearest_miss"] is not None:
        return f"No candidate meets all constraints; closest: {miss_in_words(front)}"
    return None


def comparison_of(document: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Compares a candidate's figures with the fp32 model's in one sentence; empty without figures.

    ``document`` has the ``evidence``, the ``objectives`` and the ``baseline``.
    """
    parts = _comparisons(document, metrics)
    return _introduction(document) + ", ".join(parts) if parts else ""


def miss_in_words(front: Mapping[str, Any]) -> str:
    """Returns the candidate closest to meeting all constraints, with the figures that miss.

    >>> miss = {"candidate_id": "c0ffee", "reason": "breaks speedup >= 50", "metrics": {"speedup": {"ratio": 2.98}}}
    >>> miss_in_words({"nearest_miss": miss, "constraints": ["speedup >= 50"]})
    'c0ffee (speedup 2.98×, but speedup >= 50 is required)'
    """
    miss = front["nearest_miss"]
    metrics, reason = miss.get("metrics"), miss["reason"]
    if metrics is None:
        return f"{miss['candidate_id']} {reason}"
    texts = []
    for text in front["constraints"]:
        if text not in reason:
            continue
        name = Constraint.parse(text).metric
        texts.append(f"{name} {figure(metric_value(metrics, name), name)}, but {text} is required")
    return f"{miss['candidate_id']} ({'; '.join(texts) or reason})"


def _introduction(front: Mapping[str, Any]) -> str:
    words = {Evidence.MODELLED: "By the device's peaks, ", Evidence.INVENTED: "In a dry run, with made-up figures, "}
    return words.get(Evidence(front["evidence"]), "")


def _comparisons(front: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Returns the speed, the size and the quality against the fp32 model; what is not known is left out."""
    baseline = front["baseline"]["metrics"]
    parts = [_speed(metrics, Evidence(front["evidence"])), _size(metrics, baseline)]
    names = [o["metric"] for o in front["objectives"]]
    parts += [_cost(metrics, baseline, name) for name in names if row_of(name).cost and base_of(name) not in _ALWAYS]
    parts += [_quality(metrics, baseline, name) for name in _quality_metrics(front, baseline)]
    return [part for part in parts if part]


def _speed(metrics: Mapping[str, Any], evidence: Evidence) -> str:
    ratio, bounds = metric_value(metrics, "speedup"), metric_interval(metrics, "speedup")
    if ratio is None:
        return ""
    low, high = bounds or (ratio, ratio)
    if low <= 1 <= high or 1 / _NOTICEABLE_SPEED < ratio < _NOTICEABLE_SPEED:
        return f"no measurable difference in speed ({ratio:.2f}x)"
    most = "at most " if evidence is Evidence.MODELLED else ""
    return f"{most}{_times(ratio)} faster" if ratio > 1 else f"{_times(1 / ratio)} slower"


def _size(metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    size, original = metric_value(metrics, "size_bytes"), metric_value(baseline, "size_bytes")
    if not size or not original:
        return ""
    ratio = original / size
    if 1 / _NOTICEABLE < ratio < _NOTICEABLE:
        return "same size"
    return f"{_times(ratio)} smaller" if ratio > 1 else f"{_times(1 / ratio)} larger"


def _cost(metrics: Mapping[str, Any], baseline: Mapping[str, Any], name: str) -> str:
    """Compares a further cost that is an objective, such as peak memory."""
    value, original = metric_value(metrics, name), metric_value(baseline, name)
    if not value or not original:
        return ""
    title, lower = _lower(short_title(name)), row_of(name).better == "min"
    ratio = original / value
    if 1 / _NOTICEABLE < ratio < _NOTICEABLE:
        return f"same {title}"
    less, more = ("fewer" if title.endswith("s") else "less", "more") if lower else ("lower", "higher")
    return f"{_times(ratio)} {less} {title}" if ratio > 1 else f"{_times(1 / ratio)} {more} {title}"


def _lower(title: str) -> str:
    """Returns a title within a sentence; abbreviations stay."""
    return title[:1].lower() + title[1:] if title[1:2].islower() else title


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 1.995 else f"{ratio:.1f}x"


def _quality_metrics(front: Mapping[str, Any], baseline: Mapping[str, Any]) -> Sequence[str]:
    """Returns the metric of quality to name: the objectives', or the task's own one where they only compare outputs."""
    names = [o["metric"] for o in front["objectives"] if not row_of(o["metric"]).cost]
    own = [name for name in metric_names(baseline) if not row_of(name).cost and not row_of(name).fidelity]
    labelled = [name for name in names if not row_of(name).fidelity] or [name for name in own if name == "accuracy"]
    return labelled or names


def _quality(metrics: Mapping[str, Any], baseline: Mapping[str, Any], name: str) -> str:
    value, original = metric_value(metrics, name), metric_value(baseline, name)
    if value is None:
        return ""
    shown, title = figure(value, name), short_title(name)
    title = _lower(title)
    if row_of(name).fidelity:
        return f"{title} of the outputs to the original's {shown}"
    if original is None:
        return f"{title} {shown}"
    same = "same " if shown == figure(original, name) else ""
    figures = f"{shown} against {figure(original, name)}"
    return f"same {title} ({figures})" if same else f"{title} {figures}"
