"""Asynchronous successive halving (ASHA): ends trainings that fall behind earlier ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TRAINING = "training"
"""Key under which a candidate's metrics hold the course of its training."""

Figures = Sequence[float]
"""Figures of one training, one per evaluation; the first is from before the first step."""


@dataclass(frozen=True)
class Halving:
    """Successive halving without waiting (ASHA: Li et al., MLSys 2020).

    At each rung (after ``reduction``, ``reduction²``, … evaluations) a training continues only if its figure is among
    the best ``1 / reduction`` of that rung.
    """

    reduction: int
    rungs: Mapping[int, Sequence[float]] = field(default_factory=dict)
    """Figures of earlier trainings by number of evaluations. If these trainings ended before this one's block began,
    decisions do not depend on the order of workers, and a resumed job repeats them."""

    @classmethod
    def after(cls, reduction: int, trainings: Sequence[Figures]) -> Halving:
        """Builds the rungs from the figures of earlier trainings.

        >>> Halving.after(2, [[0.1, 0.5, 0.6], [0.1, 0.7]]).rungs
        {2: [0.6]}
        """
        longest = max((len(figures) for figures in trainings), default=0)
        rungs: dict[int, list[float]] = {}
        rung = reduction
        while rung < longest:
            rungs[rung] = [figures[rung] for figures in trainings if len(figures) > rung]
            rung *= reduction
        return cls(reduction, rungs)

    def goes_on(self, evaluations: int, figure: float) -> bool:
        """Returns whether a training with ``figure`` after ``evaluations`` evaluations continues; True if the rung
        holds fewer
        than ``reduction`` figures."""
        rung = self.rungs.get(evaluations, ())
        better = sum(earlier > figure for earlier in rung)
        return len(rung) < self.reduction or better < (len(rung) + 1) // self.reduction
