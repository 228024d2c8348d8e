"""Quality of an exported file's outputs, compared with labels and with the fp32 model's outputs."""

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
"""One figure per sample, ``(samples,)``, by metric; the metric is their mean."""


@dataclass(frozen=True)
class Quality:
    """Quality metrics of a file."""

    metrics: dict[str, float]
    """Figures by name."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of the metrics that are means over samples."""
    stand_in: str | None = None
    """The runtime used instead of the requested one, if any."""


def run_all(session: Session, samples: Arrays, *, batch: int, workers: int) -> dict[str, Array]:
    """Computes all outputs for all samples; pauses between chunks while a measurement runs on this machine.

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
    """Raises :class:`BuildFailed` if a tensor contains NaN or infinity."""
    for name, values in tensors:
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise BuildFailed(f"output {name!r} holds NaN or infinity")


_ROW = 16


def fidelity(outputs: Arrays, reference: Arrays) -> Scores:
    """Similarity to the fp32 model's outputs: ``cosine`` and ``top1_agreement`` of each sample.

    ``cosine`` compares each sample's floating-point outputs, flattened, and is the mean over outputs. An output of one
    number per sample has no direction: it is compared over 16 samples in a row. ``top1_agreement`` is of the first
    output that has classes along its last axis.
    """
    cosines = [
        _cosine(values, reference[name]) for name, values in outputs.items() if np.issubdtype(values.dtype, np.floating)
    ]
    scores: Scores = {}
    if cosines:
        scores["cosine"] = np.mean(cosines, axis=0)
    for name, values in outputs.items():
        if np.issubdtype(values.dtype, np.floating) and values.ndim >= 2 and values.shape[-1] >= 2:
            agreement = values.argmax(-1) == reference[name].argmax(-1)
            scores["top1_agreement"] = agreement.reshape(len(agreement), -1).mean(axis=1)
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
    # Two zero vectors agree; a zero vector and a non-zero one do not.
    same_zero = (np.linalg.norm(a, axis=1) == 0) & (np.linalg.norm(b, axis=1) == 0)
    result: NDArray[np.float64] = np.where(
        norms > 0, dots / np.where(norms > 0, norms, 1.0), same_zero.astype(np.float64)
    )
    return np.minimum(result, 1.0)


def classification(logits: Array, labels: Array) -> Scores:
    """``accuracy`` and ``nll`` (nats) per sample, from logits ``(samples, classes)`` and labels ``(samples,)``."""
    values = logits.astype(np.float64)
    shifted = values - values.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(log_probabilities, labels.astype(np.int64)[:, None], axis=-1)[:, 0]
    return {"accuracy": (values.argmax(-1) == labels).astype(np.float64), "nll": -picked}


def false_negatives(logits: Array, labels: Array, classes: Iterable[int]) -> Scores:
    """``fnr:CLASS`` per sample for each of ``classes``: the mean is the class's false negative rate.

    From logits ``(samples, classes)`` and labels ``(samples,)``. A missed sample of the class scores the number of all
    samples over that of the class, all other samples score 0. Raises :class:`InvalidInput` for a class without samples.
    """
    scores: Scores = {}
    predicted = logits.argmax(-1)
    for number in classes:
        own = labels == number
        if not own.any():
            raise InvalidInput(
                f"false negatives: no sample has the class {number}",
                f"the labels are {', '.join(map(str, np.unique(labels)[:20]))}",
            )
        scores[f"fnr:{number}"] = (own & (predicted != number)) * (len(labels) / own.sum())
    return scores


def label_metrics(classes: Iterable[int]) -> frozenset[str]:
    """Returns the metrics of :func:`classification` and of :func:`false_negatives` of ``classes``."""
    return frozenset({"accuracy", "nll", *(f"fnr:{number}" for number in classes)})


def summarise(scores: Mapping[str, NDArray[np.float64]], clusters: NDArray[np.int64] | None) -> Quality:
    """Means with their intervals, resampled by cluster. Raises :class:`BuildFailed` for NaN or infinity."""
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise BuildFailed(f"metric {name!r} is NaN or infinite for some samples")
    return Quality(
        {name: float(values.mean()) for name, values in scores.items()},
        {name: mean_interval(values, clusters) for name, values in scores.items()},
    )
