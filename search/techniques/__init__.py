"""Techniques make a model smaller or faster. A new one is one file here, one line below, and one test class.

They propose decisions and apply in this order: all later ones benchmark each of the runtimes.
"""

from collections.abc import Iterable

from search.registry import Registry
from search.subject import FOOTPRINT, Draft, Subject
from search.techniques.base import Technique, TechniqueOptions
from search.techniques.fusion import GraphTechnique
from search.techniques.module import ModuleTechnique, technique_of
from search.techniques.precision import PrecisionTechnique
from search.techniques.pruning import PruningTechnique
from search.techniques.runtime import RuntimeTechnique
from search.techniques.sparsity import SparsityTechnique
from search.techniques.trained_formats import FormatsTechnique

TECHNIQUES: Registry[Technique] = Registry(
    "paretune.techniques",
    {
        "runtime": RuntimeTechnique,
        "pruning": PruningTechnique,
        "sparsity": SparsityTechnique,
        "graph": GraphTechnique,
        "formats": FormatsTechnique,
        "precision": PrecisionTechnique,
    },
)


def trains(names: Iterable[str]) -> bool:
    """Whether candidates of a job with these techniques are trained."""
    return any(issubclass(TECHNIQUES[name], ModuleTechnique) for name in names)


def is_of_module(decision: str) -> bool:
    """Whether a decision changes the module that candidates are exported from."""
    technique = technique_of(decision)
    return technique in TECHNIQUES and issubclass(TECHNIQUES[technique], ModuleTechnique)


__all__ = [
    "FOOTPRINT",
    "TECHNIQUES",
    "Draft",
    "ModuleTechnique",
    "Subject",
    "Technique",
    "TechniqueOptions",
    "is_of_module",
    "technique_of",
    "trains",
]
