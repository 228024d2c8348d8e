"""FLIQS: one-shot search for the number formats of layers during a single training (Dotzel et al., *FLIQS: One-Shot
Mixed-Precision Floating-Point and Integer quantization search*, AutoML 2024)."""

from search.fliqs.cost import AdditiveCost, Cost, LatencyCost, bit_operations_cost, reduction, size_cost
from search.fliqs.elastic_cost import ElasticBitOperations, ElasticBytes
from search.fliqs.held_out import HeldOutQuality
from search.fliqs.one_shot import FixedFormats, OneShotSearch
from search.fliqs.policy import Policy
from search.supernets.elastic import Elastic

__all__ = [
    "AdditiveCost",
    "Cost",
    "Elastic",
    "ElasticBitOperations",
    "ElasticBytes",
    "FixedFormats",
    "HeldOutQuality",
    "LatencyCost",
    "OneShotSearch",
    "Policy",
    "bit_operations_cost",
    "reduction",
    "size_cost",
]
