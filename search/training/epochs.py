"""The batches of a training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluators.processes.locks import working
from evaluators.tensors import Array
from search.training.data import Samples, TrainingData
from search.training.recipe import Recipe


def steps_of(data: TrainingData, recipe: Recipe) -> int:
    """How many updates a recipe makes. Draws an epoch's samples, where it counts epochs."""
    return recipe.steps or recipe.epochs * Epochs(data, recipe.batch, recipe.seed).batches


class Epochs:
    """Batches by the number of their step. Each epoch's samples and their order follow from the seed and the epoch's
    number alone, so a training can begin at any step. ``batches`` is how many an epoch has."""

    def __init__(self, data: TrainingData, batch: int, seed: int) -> None:
        self._data, self._batch, self._seed = data, batch, seed
        self._number, self._samples, self._order = self._drawn(0)
        count, rest = divmod(len(self._samples), batch)
        # A last batch of one sample has no variance to normalise by.
        self.batches = max(1, count + (rest > 1))

    def _drawn(self, number: int) -> tuple[int, Samples, Array]:
        rng = np.random.default_rng([self._seed, number])
        with working():
            samples = self._data.epoch(rng)
        return number, samples, rng.permutation(len(samples))

    def batch(self, step: int) -> Samples:
        """The samples of a step of the training, from 0."""
        number, index = divmod(step, self.batches)
        if number != self._number:
            self._number, self._samples, self._order = self._drawn(number)
        rows = self._order[index * self._batch : (index + 1) * self._batch]
        labels = self._samples.labels
        return Samples(tuple(values[rows] for values in self._samples.inputs), None if labels is None else labels[rows])

    def of(self, number: int) -> Iterator[Samples]:
        """All batches of an epoch."""
        return (self.batch(number * self.batches + index) for index in range(self.batches))
