"""L2 magnitude."""

from __future__ import annotations

from search.pruning.criteria.magnitude import Magnitude


class L2(Magnitude):
    """Sum of squared weights (He et al., *Soft Filter Pruning*, IJCAI 2018, rank filters by this norm) over a whole
    group.

    Detects dead channels whose weights are small, not duplicates; needs nothing.
    """

    power = 2
