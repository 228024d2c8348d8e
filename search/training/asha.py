"""Which trainings are worth going on with: those that are among the best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TRAINING = "training"
"""Where a candidate's metrics hold how its training went."""

Figures = Sequence[float]
"""Of one training, after each evaluation: the first is that before the first step."""


@dataclass(frozen=True)
class Halving:
    """Successive halving without waiting (ASHA: Li et al., MLSys 2020): after ``reduction``, ``reduction²``, …
    evaluations a training goes on only if its figure is among the best ``1 / reduction`` of those that were seen there.

    ``seen`` are figures by the number of evaluations. Where they are of trainings that ended before this one's block
    began, the answer does not depend on which worker was first, and a job that is resumed gives it again.
    """

    reduction: int
    seen: Mapping[int, Sequence[float]] = field(default_factory=dict)

    @classmethod
    def after(cls, reduction: int, trainings: Sequence[Figures]) -> Halving:
        """From the figures of earlier trainings.

        >>> Halving.after(2, [[0.1, 0.5, 0.6], [0.1, 0.7]]).seen
        {2: [0.6]}
        """
        longest = max((len(one) for one in trainings), default=0)
        found: dict[int, list[float]] = {}
        rung = reduction
        while rung < longest:
            found[rung] = [one[rung] for one in trainings if len(one) > rung]
            rung *= reduction
        return cls(reduction, found)

    def goes_on(self, evaluations: int, figure: float) -> bool:
        """Whether a training with this figure after so many evaluations goes on; where too few are known, it does."""
        others = self.seen.get(evaluations, ())
        better = sum(other > figure for other in others)
        return len(others) < self.reduction or better < (len(others) + 1) // self.reduction
