"""Techniques: what makes a model smaller. A new one is one file here, one line below, and one test class.

Applied in this order.
"""

from search.plugins import Registry
from search.techniques.base import Draft, Subject, Technique, TechniqueOptions
from search.techniques.graph import GraphTechnique
from search.techniques.precision import PrecisionTechnique

TECHNIQUES: Registry[Technique] = Registry(
    "paretune.techniques", {"graph": GraphTechnique, "precision": PrecisionTechnique}
)

__all__ = ["TECHNIQUES", "Draft", "Subject", "Technique", "TechniqueOptions"]
