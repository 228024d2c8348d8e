"""Quality: what an exported file answers through its runtime, against the labels and against the fp32 model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluators.measuring.statistics import mean_interval
from evaluators.processes.locks import working
from evaluators.runtimes.base import Session
from evaluators.tensors import Array, Arrays
from hwprofiles.errors import BuildFailed, InvalidInput

Scores = dict[str, NDArray[np.float64]]
"""Metric name to one figure a sample, ``(samples,)``; the metric is their mean."""


@dataclass(frozen=True)
class Quality:
    """Metrics by name, and the 95 % intervals of those that are means over samples; ``stand_in`` is the runtime that
    answered in the place of the one asked for, None where none did."""

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    stand_in: str | None = None


def run_all(session: Session, samples: Arrays, *, batch: int, workers: int) -> dict[str, Array]:
    """All outputs for all samples, pausing between chunks while a measurement runs on this machine.

    Raises :class:`BuildFailed` for an output that is not finite.
    """
    count = min(len(values) for values in samples.values())
    chunk = batch * workers * 16
    parts = []
    for start in range(0, count, chunk):
        with working():
            rows = {name: values[start : start + chunk] for name, values in samples.items()}
            parts.append(session.predict(rows, batch=batch, workers=workers))
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    check_finite(outputs.items())
    return outputs


def check_finite(tensors: Iterable[tuple[str, Array]]) -> None:
    """Raises :class:`BuildFailed` for a tensor that holds NaN or infinity."""
    for name, values in tensors:
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise BuildFailed(f"output {name!r} holds NaN or infinity")


_ROW = 16


def fidelity(outputs: Arrays, reference: Arrays) -> Scores:
    """How near the outputs are to the fp32 model's: ``cosine`` of each sample's floating-point outputs (flattened, the
    mean over outputs; of one number a sample, which has no direction, those of 16 samples in a row), and
    ``top1_agreement`` of the first output that has classes along its last axis."""
    cosines = [
        _cosine(values, reference[name]) for name, values in outputs.items() if np.issubdtype(values.dtype, np.floating)
    ]
    scores: Scores = {}
    if cosines:
        scores["cosine"] = np.mean(cosines, axis=0)
    for name, values in outputs.items():
        if np.issubdtype(values.dtype, np.floating) and values.ndim >= 2 and values.shape[-1] >= 2:
            same = values.argmax(-1) == reference[name].argmax(-1)
            scores["top1_agreement"] = same.reshape(len(same), -1).mean(axis=1)
            break
    return scores


def _cosine(values: Array, reference: Array) -> NDArray[np.float64]:
    a = values.reshape(len(values), -1).astype(np.float64)
    b = reference.reshape(len(reference), -1).astype(np.float64)
    if a.shape[1] == 1 and len(a) > 1:
        ends = range(_ROW, len(a), _ROW)
        rows = zip(np.split(a.T, ends, axis=1), np.split(b.T, ends, axis=1), strict=True)
        return np.concatenate([np.repeat(_cosine(x, y), x.size) for x, y in rows])
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = np.einsum("ij,ij->i", a, b)
    # Two zero vectors agree; a zero vector and another do not.
    same_zero = (np.linalg.norm(a, axis=1) == 0) & (np.linalg.norm(b, axis=1) == 0)
    result: NDArray[np.float64] = np.where(
        norms > 0, dots / np.where(norms > 0, norms, 1.0), same_zero.astype(np.float64)
    )
    return np.minimum(result, 1.0)


def classification(logits: Array, labels: Array) -> Scores:
    """``accuracy`` and ``nll`` (nats) a sample, from logits ``(samples, classes)`` and labels ``(samples,)``."""
    values = logits.astype(np.float64)
    shifted = values - values.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(log_probabilities, labels.astype(np.int64)[:, None], axis=-1)[:, 0]
    return {"accuracy": (values.argmax(-1) == labels).astype(np.float64), "nll": -picked}


def false_negatives(logits: Array, labels: Array, classes: Iterable[int]) -> Scores:
    """``fnr:CLASS`` a sample for each of ``classes``, from logits ``(samples, classes)`` and labels ``(samples,)``: the
    mean is the share of the class's samples that are taken for another class.

    A sample of the class that is missed counts the number of all samples over that of the class's, all others count
    nothing. Raises :class:`InvalidInput` for a class that no sample is of.
    """
    scores: Scores = {}
    predicted = logits.argmax(-1)
    for number in classes:
        own = labels == number
        if not own.any():
            raise InvalidInput(
                f"false negatives: no sample is of the class {number}",
                f"the labels are {', '.join(map(str, np.unique(labels)[:20]))}",
            )
        scores[f"fnr:{number}"] = (own & (predicted != number)) * (len(labels) / own.sum())
    return scores


def label_metrics(classes: Iterable[int]) -> frozenset[str]:
    """The names of what :func:`classification` and :func:`false_negatives` of ``classes`` give."""
    return frozenset({"accuracy", "nll", *(f"fnr:{number}" for number in classes)})


def summarise(scores: Mapping[str, NDArray[np.float64]], clusters: NDArray[np.int64] | None) -> Quality:
    """Means with their intervals, resampled by cluster. Raises :class:`BuildFailed` for a figure that is not finite."""
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise BuildFailed(f"metric {name!r} is NaN or infinite for some samples")
    return Quality(
        {name: float(values.mean()) for name, values in scores.items()},
        {name: mean_interval(values, clusters) for name, values in scores.items()},
    )
