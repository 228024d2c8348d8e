"""Criteria: importance of channels. A new criterion is one file here, one line below, and one test class."""

from hwprofiles.plugins import Registry
from search.pruning.criteria.base import Batch, Criterion, LossFunction, Needs, Scores, Sees
from search.pruning.criteria.bn_scale import BatchNormScale, sparsity_term
from search.pruning.criteria.expressiveness import Expressiveness
from search.pruning.criteria.l1 import L1
from search.pruning.criteria.l2 import L2
from search.pruning.criteria.lrp import Relevance
from search.pruning.criteria.random import Random
from search.pruning.criteria.taylor import Taylor

CRITERIA: Registry[Criterion] = Registry(
    "paretune.criteria",
    {
        "l1": L1,
        "l2": L2,
        "bn_scale": BatchNormScale,
        "taylor": Taylor,
        "lrp": Relevance,
        "expressiveness": Expressiveness,
        "random": Random,
    },
)

__all__ = [
    "CRITERIA",
    "Batch",
    "Criterion",
    "LossFunction",
    "Needs",
    "Scores",
    "Sees",
    "sparsity_term",
]
