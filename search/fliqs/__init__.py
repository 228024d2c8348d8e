"""FLIQS: one-shot search for the number formats of layers during a single training (Dotzel et al., *FLIQS: One-Shot
Mixed-Precision Floating-Point and Integer quantization search*, AutoML 2024).

The package itself does not import torch, since strategies read the options; :class:`Elastic` does when it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.supernets.elastic import Elastic

__all__ = ["Elastic"]


def __getattr__(name: str) -> Any:
    if name == "Elastic":
        from search.supernets.elastic import Elastic

        return Elastic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
