"""Zero-cost filters keep candidates from being trained. A new filter is one file here, one line below, and one test
class. Nothing here imports torch before a score is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwprofiles.errors import InvalidInput
from hwprofiles.plugins import Registry
from hwprofiles.suggestions import nearest
from search.filters.base import Filter, FilterOptions, Scored, Untrained
from search.filters.parameters import Parameters
from search.filters.zico import Zico
from search.options import validate_options

FILTERS: Registry[Filter] = Registry("paretune.filters", {"parameters": Parameters, "zico": Zico})


def make_filters(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Filter]:
    """Makes a job's filters by name.

    Raises :class:`InvalidInput` for an unknown name, and for options that do not fit.
    """
    filters = {}
    for name, options in sections.items():
        if name not in FILTERS:
            raise InvalidInput(f"filters: unknown filter {name!r}", nearest(name, list(FILTERS)))
        kind = FILTERS[name]
        filters[name] = kind(validate_options(kind.Options, options, f"filters.{name}"))
    return filters


__all__ = ["FILTERS", "Filter", "FilterOptions", "Scored", "Untrained", "make_filters"]
