"""Techniques: what makes a model smaller. A new one is one file here, one line below, and one test class.

Asked and applied in this order: the others ask what pays in each of the runtimes.
"""

from search.plugins import Registry
from search.techniques.base import Draft, Subject, Technique, TechniqueOptions
from search.techniques.graph import GraphTechnique
from search.techniques.precision import PrecisionTechnique
from search.techniques.runtime import RuntimeTechnique

TECHNIQUES: Registry[Technique] = Registry(
    "paretune.techniques",
    {"runtime": RuntimeTechnique, "graph": GraphTechnique, "precision": PrecisionTechnique},
)

__all__ = ["TECHNIQUES", "Draft", "Subject", "Technique", "TechniqueOptions"]
