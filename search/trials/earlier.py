"""What the candidates of earlier blocks gave that later ones are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.fronts.metrics import FILTER
from search.training.asha import TRAINING, Figures
from search.trials.candidate_filter import Judged


@dataclass(frozen=True)
class Earlier:
    """Results of the candidates of all closed blocks: the same whichever finished first, and after a resume."""

    trainings: Sequence[Figures] = ()
    """The figures of their trainings."""
    judged: Sequence[Judged] = ()
    """What the job's filters made of them."""

    @classmethod
    def of(cls, metrics: Iterable[Mapping[str, Any]]) -> Earlier:
        """Reads the metrics of candidates, by trial number."""
        rows = list(metrics)
        trainings = [row[TRAINING]["figures"] for row in rows if row.get(TRAINING)]
        return cls(trainings, [Judged(**row[FILTER]) for row in rows if row.get(FILTER)])
