"""Running statistics of batch normalisation: re-estimation, and evaluation without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from evaluators.processes.locks import working


def normalisations(module: nn.Module) -> list[_BatchNorm]:
    """Lists the batch normalisations that track running statistics."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


@torch.no_grad()
def reestimate(module: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Replaces the running statistics by the mean over ``batches`` with the current weights.

    Training leaves a moving average over weights that have changed since (Izmailov et al., *Averaging Weights Leads to
    Wider Optima*, UAI 2018, section 3). All other parts are in evaluation mode; the module ends in evaluation mode.
    """
    module.eval()
    parts = normalisations(module)
    momenta = [part.momentum for part in parts]
    for part in parts:
        part.reset_running_stats()
        part.momentum = None
        part.train()
    for inputs in batches:
        with working():
            module(*inputs)
    for part, momentum in zip(parts, momenta, strict=True):
        part.momentum = momentum
    module.eval()


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Switches to evaluation mode with batch statistics: layers normalise by the current batch and leave their running
    statistics unchanged."""
    training_parts = [part for part in module.modules() if part.training]
    for part in training_parts:
        part.training = False
    parts = normalisations(module)
    momenta = [part.momentum for part in parts]
    counters = [part.num_batches_tracked for part in parts]
    counts = [None if counter is None else counter.clone() for counter in counters]
    for part in parts:
        part.train()
        part.momentum = 0.0
    try:
        yield
    finally:
        for counter, count in zip(counters, counts, strict=True):
            if counter is not None and count is not None:
                counter.copy_(count)
        for part, momentum in zip(parts, momenta, strict=True):
            part.momentum = momentum
            part.training = False
        for part in training_parts:
            part.training = True
