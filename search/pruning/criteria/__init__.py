"""Criteria: importance of channels. A new criterion is one file here, one line in ``search/criterion_names.py``, and
one test class."""

from hwprofiles.plugins import Registry
from search import criterion_names
from search.pruning.criteria.base import Batch, Criterion, LossFunction, Needs, Scores, Sees
from search.pruning.criteria.bn_scale import sparsity_term

CRITERIA: Registry[Criterion] = criterion_names.CRITERIA

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
