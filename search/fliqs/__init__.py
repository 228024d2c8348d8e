"""FLIQS: number formats of layers, found by the training that makes the weights for them (Dotzel et al., *FLIQS:
One-Shot Mixed-Precision Floating-Point and Integer quantization search*, AutoML 2024)."""

from search.fliqs.cost import Cost, Latency, Sum, bit_operations, reduction, stored_bytes
from search.fliqs.elastic_cost import ElasticBitOperations, ElasticBytes
from search.fliqs.held_out import HeldOut
from search.fliqs.one_shot import Fixed, OneShot
from search.fliqs.policy import Policy
from search.supernets.elastic import Elastic

__all__ = [
    "Cost",
    "Elastic",
    "ElasticBitOperations",
    "ElasticBytes",
    "Fixed",
    "HeldOut",
    "Latency",
    "OneShot",
    "Policy",
    "Sum",
    "bit_operations",
    "reduction",
    "stored_bytes",
]
