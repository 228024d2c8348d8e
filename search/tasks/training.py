"""Training of classifiers from scratch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluators.processes.locks import working

Epoch = Callable[[np.random.Generator], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""Draws the inputs and labels of an epoch."""


def train_classifier(
    model: nn.Module,
    epoch_data: Epoch,
    *,
    epochs: int,
    seed: int,
    batch: int = 64,
    learning_rate: float = 3e-3,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
    passes: Callable[[np.random.Generator], Iterable[object]] = lambda rng: (None,),
) -> None:
    """Trains with cross-entropy, AdamW and a one-cycle learning rate (Smith and Topin, 2018); takes minutes.

    ``epoch_data`` draws the inputs and labels of each epoch. ``progress`` receives the number and mean loss of each
    finished epoch. Each batch is processed once per item of ``passes``, which may change how the model computes; the
    reported loss is that of the last pass. Pauses between batches while a measurement runs on this machine.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = -(-len(epoch_data(np.random.default_rng(seed))[1]) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, epochs * steps)
    for epoch in range(1, epochs + 1):
        inputs, labels = epoch_data(rng)
        order = rng.permutation(len(labels))
        losses = []
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            with working():
                x = torch.from_numpy(inputs[rows]).to(memory_format=torch.channels_last)
                optimizer.zero_grad()
                for _ in passes(rng):
                    loss = nn.functional.cross_entropy(model(x), torch.from_numpy(labels[rows]))
                    loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            losses.append(loss.item())
        progress(epoch, float(np.mean(losses)))
    model.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
