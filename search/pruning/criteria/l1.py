"""L1 magnitude."""

from __future__ import annotations

from search.pruning.criteria.magnitude import Magnitude


class L1(Magnitude):
    """Sum of absolute weights (Li et al., *Pruning Filters for Efficient ConvNets*, ICLR 2017) over a whole group.

    Detects dead channels whose weights are small, not duplicates; needs nothing.
    """

    power = 1
