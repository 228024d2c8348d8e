"""What techniques offer for a space after asking the devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluators.quantize.scheme import Scheme
from search.space.candidate import Decision, Replacement

Json = dict[str, Any]


@dataclass(frozen=True)
class Offer:
    """What a technique offers on a device, or what all techniques and devices so far have offered together.

    >>> width = Offer((Decision("width", ("full", "half"), "student"),))
    >>> width.merge(Offer(answers=({"layer": "all", "ratio": 1.2},))).answers
    ({'layer': 'all', 'ratio': 1.2},)
    """

    decisions: tuple[Decision, ...] = ()
    """The first choice of each leaves the model as it is."""
    answers: tuple[Json, ...] = ()
    """Benchmarks of the device, as they are shown. One of the whole model has ``values``: the technique's name, and
    those of others, to the value that all layers had. Those with a ``ratio`` whose ``ci95`` is above 1 are tried first.
    """
    replacements: tuple[Replacement, ...] = ()
    """Values that are replaced in some of the device's runtimes."""
    static_schemes: Mapping[str, Scheme] = field(default_factory=dict)
    """Quantisation scheme of static int8 by family of runtimes. The job stores it, and every build has it in
    :attr:`search.subject.Draft.static_schemes`."""
    runtime_speedups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Runtimes that candidates choose from, with their speed-up in fp32, by the digest of the device's profile."""

    def merge(self, later: Offer) -> Offer:
        """Returns this offer, followed by a later one, whose schemes and speed-ups replace earlier ones of the same
        name."""
        return Offer(
            self.decisions + later.decisions,
            self.answers + later.answers,
            self.replacements + later.replacements,
            {**self.static_schemes, **later.static_schemes},
            {**self.runtime_speedups, **later.runtime_speedups},
        )
