"""A filter by the number of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from hwprofiles.errors import InvalidInput
from search.bounds import LARGEST
from search.filters.base import Filter, FilterOptions, Scored, Untrained


class ParametersOptions(FilterOptions):
    """Options of the filter ``parameters``."""

    least: float | None = Field(None, gt=0, le=LARGEST)
    """Smallest share of the fp32 model's parameters that is trained; null: no bound."""
    most: float | None = Field(None, gt=0, le=LARGEST)
    """Largest share; null: no bound."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError("least is above most: nothing lies between them")
        return self


class Parameters(Filter):
    """Refuses modules with too many or too few parameters."""

    Options = ParametersOptions
    options: ParametersOptions

    def __init__(self, options: ParametersOptions) -> None:
        super().__init__(options)
        if options.least is None and options.most is None:
            raise InvalidInput(
                "filters.parameters: has no bound", "write: most: 0.5, a share of the fp32 model's parameters"
            )

    def score(self, untrained: Untrained) -> float:
        """See :meth:`Filter.score`: the size."""
        return untrained.size

    def refuse(self, own: Scored, earlier: Sequence[Scored]) -> str | None:
        """See :meth:`Filter.refuse`."""
        least, most = self.options.least or 0.0, self.options.most
        bound = f"at least {100 * least:.3g}" if own.size < least else None
        if most is not None and own.size > most:
            bound = f"at most {100 * most:.3g}"
        return bound and f"it has {100 * own.size:.3g} % of the fp32 model's parameters; {bound} % are trained"
