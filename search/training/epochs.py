"""Batches of a training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.processes.locks import working
from evaluators.tensors import Array
from search.training.data import Samples, TrainingData
from search.training.recipe import Recipe


def steps_of(data: TrainingData, recipe: Recipe) -> int:
    """Computes the number of updates that a recipe makes; draws an epoch's samples if the recipe counts epochs."""
    return recipe.steps or recipe.epochs * Epochs(data, recipe.batch, recipe.seed).batches


class Epochs:
    """Batches by step number.

    An epoch's samples and their order depend only on the seed and the epoch's number, so a training can resume at any
    step.
    """

    def __init__(self, data: TrainingData, batch: int, seed: int) -> None:
        self._data, self._batch, self._seed = data, batch, seed
        self._number, self._samples, self._order = self._draw_epoch(0)
        count, remainder = divmod(len(self._samples), batch)
        # A last batch of one sample has no variance to normalise by.
        self.batches = max(1, count + (remainder > 1))
        """Batches in an epoch."""

    def _draw_epoch(self, number: int) -> tuple[int, Samples, Array]:
        rng = np.random.default_rng([self._seed, number])
        with working():
            samples = self._data.epoch(rng)
        return number, samples, rng.permutation(len(samples))

    def batch(self, step: int) -> Samples:
        """Returns the samples of a training step, counted from 0."""
        number, index = divmod(step, self.batches)
        if number != self._number:
            self._number, self._samples, self._order = self._draw_epoch(number)
        rows = self._order[index * self._batch : (index + 1) * self._batch]
        labels = self._samples.labels
        return Samples(tuple(values[rows] for values in self._samples.inputs), None if labels is None else labels[rows])

    def of(self, number: int) -> Iterator[Samples]:
        """Iterates over the batches of an epoch."""
        return (self.batch(number * self.batches + index) for index in range(self.batches))
