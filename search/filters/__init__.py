"""Zero-cost filters keep candidates from being trained. A new filter is one file here, one line below, and one test
class. Nothing here imports torch before a score is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwprofiles.plugins import Registry
from search.filters.base import Filter, FilterOptions, Scored, Untrained
from search.filters.parameters import Parameters
from search.filters.zico import Zico
from search.options import make_by_name

FILTERS: Registry[Filter] = Registry("paretune.filters", {"parameters": Parameters, "zico": Zico})


def make_filters(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Filter]:
    """Makes a job's filters by name.

    Raises :class:`InvalidInput` for an unknown name, and for options that do not fit.
    """
    return make_by_name(FILTERS, sections, "filters", "filter")


__all__ = ["FILTERS", "Filter", "FilterOptions", "Scored", "Untrained", "make_filters"]
