"""Running statistics of batch normalisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from evaluators.processes.locks import working


def normalisations(module: nn.Module) -> list[_BatchNorm]:
    """The parts that keep running statistics."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


@torch.no_grad()
def reestimate(module: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Makes the running statistics the plain mean of the batches' own, with the weights as they are now; all else is in
    evaluation mode meanwhile. What training leaves behind is a moving average over weights that have changed since
    (Izmailov et al., *Averaging Weights Leads to Wider Optima*, UAI 2018, section 3). Ends in evaluation mode.
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
    """Evaluation mode, in which layers normalise by the statistics of the batch at hand and learn nothing from it."""
    trained = [part for part in module.modules() if part.training]
    for part in trained:
        part.training = False
    parts = normalisations(module)
    momenta = [part.momentum for part in parts]
    counted = [part.num_batches_tracked for part in parts]
    counts = [None if count is None else count.clone() for count in counted]
    for part in parts:
        part.train()
        part.momentum = 0.0
    try:
        yield
    finally:
        for count, before in zip(counted, counts, strict=True):
            if count is not None and before is not None:
                count.copy_(before)
        for part, momentum in zip(parts, momenta, strict=True):
            part.momentum = momentum
            part.training = False
        for one in trained:
            one.training = True
