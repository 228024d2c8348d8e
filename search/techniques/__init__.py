"""Techniques make a model smaller or faster. A new one is one file here, one line below, and one test class."""

from collections.abc import Iterable, Mapping
from typing import Any

from evaluators.metrics import Metric
from hwprofiles.plugins import Registry
from search.space.offer import Offer
from search.subject import FOOTPRINT, Draft, Subject
from search.techniques.base import Stage, Technique, TechniqueOptions
from search.techniques.fusion import GraphTechnique
from search.techniques.module import ModuleTechnique
from search.techniques.precision import PrecisionTechnique
from search.techniques.pruning import PruningTechnique
from search.techniques.runtime import RuntimeTechnique
from search.techniques.sparsity import SparsityTechnique
from search.techniques.student import StudentTechnique
from search.techniques.trained_formats import FormatsTechnique
from search.techniques.training import TrainingTechnique

TECHNIQUES: Registry[Technique] = Registry(
    "paretune.techniques",
    {
        "runtime": RuntimeTechnique,
        "pruning": PruningTechnique,
        "student": StudentTechnique,
        "sparsity": SparsityTechnique,
        "training": TrainingTechnique,
        "graph": GraphTechnique,
        "formats": FormatsTechnique,
        "precision": PrecisionTechnique,
    },
)


def sections_of(space: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    """Returns the options of each technique of a job's space, in the order of stages; None stands for the default
    techniques.

    >>> list(sections_of({"precision": {}, "graph": {}, "runtime": {}}))
    ['runtime', 'graph', 'precision']
    """
    sections = {name: {} for name in TECHNIQUES if TECHNIQUES[name].by_default} if space is None else space
    names = [name for name in TECHNIQUES if name in sections]
    return {name: sections[name] for name in sorted(names, key=lambda name: TECHNIQUES[name].stage)}


def own_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """Returns the metrics that these techniques add to those of the table."""
    kinds = [TECHNIQUES[name] for name in names if name in TECHNIQUES]
    return {metric: row for kind in kinds for metric, row in kind.metrics.items()}


def trains(names: Iterable[str]) -> bool:
    """Returns whether candidates of a job with these techniques are trained."""
    return any(name in TECHNIQUES and issubclass(TECHNIQUES[name], ModuleTechnique) for name in names)


__all__ = [
    "FOOTPRINT",
    "TECHNIQUES",
    "Draft",
    "ModuleTechnique",
    "Offer",
    "Stage",
    "Subject",
    "Technique",
    "TechniqueOptions",
    "own_metrics",
    "sections_of",
    "trains",
]
