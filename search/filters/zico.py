"""A filter by the gradients of an untrained module (ZiCo)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from hwprofiles.errors import BuildFailed
from search.bounds import MOST_AT_ONCE, MOST_ITEMS
from search.filters.base import Filter, FilterOptions, Scored, Untrained


class ZicoOptions(FilterOptions):
    """Options of the filter ``zico``."""

    worst: float = Field(0.25, gt=0, lt=1)
    """Share of the candidates that is refused: those with the lowest scores for their size."""
    after: int = Field(16, ge=4, le=MOST_AT_ONCE)
    """Modules of earlier blocks until any is refused."""
    batches: int = Field(4, ge=2, le=MOST_ITEMS)
    """Batches whose gradients are compared."""


class Zico(Filter):
    """Refuses modules whose gradients differ more from batch to batch than is usual for their size.

    The score is that of ZiCo (Li et al., ICLR 2023): for each layer the sum, over its weights, of the mean absolute
    gradient divided by the gradients' standard deviation over batches; then the sum of these sums' logarithms. Unlike
    the paper, modules have weights that they inherit, and the gradients are those of the losses that they are to be
    trained by. The score grows with the number of weights and layers; so scores are compared after subtracting the line
    that fits them over the logarithm of the size.
    """

    Options = ZicoOptions
    options: ZicoOptions

    def score(self, untrained: Untrained) -> float:
        """See :meth:`Filter.score`."""
        import torch

        from search.training.gradients import batch_gradients

        batches = batch_gradients(
            untrained.module, untrained.teacher(), untrained.data, untrained.recipe, self.options.batches
        )
        score = 0.0
        for name in batches[0]:
            gradients = torch.stack([batch[name] for batch in batches]).double()
            if not gradients.isfinite().all():
                raise BuildFailed("the gradients of the untrained module are not finite")
            deviation = gradients.std(0, correction=0)
            varied = deviation > 0
            layer = float((gradients.abs().mean(0)[varied] / deviation[varied]).sum())
            score += math.log(layer) if layer > 0 else 0.0
        return score

    def refuse(self, own: Scored, earlier: Sequence[Scored]) -> str | None:
        """See :meth:`Filter.refuse`."""
        if len(earlier) < self.options.after:
            return None
        sizes = np.log([other.size for other in earlier])
        scores = np.array([other.score for other in earlier])
        slope = np.cov(sizes, scores, bias=True)[0, 1] / sizes.var() if np.ptp(sizes) > 0 else 0.0
        own_rest, rests = own.score - slope * math.log(own.size), scores - slope * sizes
        better = int((rests > own_rest).sum())
        if better < (1 - self.options.worst) * len(earlier):
            return None
        return f"{better} of {len(earlier)} earlier modules have better gradients for their size"
