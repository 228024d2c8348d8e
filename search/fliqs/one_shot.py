"""One training that finds each layer's number format while it trains the weights for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hwprofiles.errors import BuildFailed, Unreachable
from search.fliqs.cost import FLOAT, Cost, reduction
from search.fliqs.policy import Policy
from search.strategies.fliqs import FliqsOptions
from search.training.quantised import QuantisedLayers

Formats = dict[str, str]


class OneShot:
    """Samples formats at every step, and learns from the quality that the weights have in them (FLIQS: Dotzel et al.,
    AutoML 2024; its reward is that of TuNAS: Bender et al., CVPR 2020).

    A :class:`search.training.sparsifier.Constraint`. The reward is ``quality(step) - beta * |C / C_target - 1|``,
    the quality on a held-out batch after each step. Unlike there, the most likely formats are fixed before the training
    ends, so that the last weights and bounds are trained for them alone.

    ``choices`` are the formats of each group of ``layers``, fp32 among them or not; ``target`` is how many times
    cheaper than fp32 the model shall be. Raises :class:`Unreachable` where no assignment is that cheap.
    """

    def __init__(
        self,
        layers: QuantisedLayers,
        choices: Mapping[str, Sequence[str]],
        cost: Cost,
        target: float,
        quality: Callable[[int], float],
        steps: int,
        options: FliqsOptions,
        seed: int,
    ) -> None:
        self._layers, self._cost, self._quality = layers, cost, quality
        self._choices = {group: tuple(names) for group, names in choices.items()}
        self._wanted = cost.of({}) / target
        self._options, self._seed, self.target = options, seed, target
        self._begins, self._delay, self._settles = (
            round(steps * share) for share in (options.inputs_from, options.delay, options.settle)
        )
        self._settles = max(self._settles, self._delay + 1)
        least = min(self._extreme(bits) for bits in (min, max))
        if self._wanted < least * (1 - 1e-9):
            most = cost.of({}) / least
            raise Unreachable(
                f"no formats make the model {target:g} times cheaper than fp32: at most {most:.3g} times",
                "take a lower target, or more formats to choose from",
            )
        rate = max(options.learning_rate, options.reach / max(1, self._settles - self._delay))
        self._policy = Policy(
            [len(names) for names in self._choices.values()], seed=seed, learning_rate=rate,
            momentum=options.momentum, entropy=options.entropy,
        )  # fmt: skip
        self._drawn: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """See :class:`Constraint`."""
        return f"one-shot {self.target} {self._choices} {self._options} {self._seed} {self._settles}"

    @property
    def formats(self) -> Formats:
        """The most likely format of each group."""
        return self._named(self._policy.best())

    def hold(self, step: int) -> None:
        """Learns from the formats of this step and draws the next ones."""
        if step == self._begins:
            self._layers.begin()
        if step >= self._settles:
            if step == self._settles:
                self._learn(step)
            self._select(self.formats)
            return
        if step:
            self._learn(step)
        self._drawn = self._policy.uniform() if step < self._delay else self._policy.sample()
        self._select(self._named(self._drawn))

    def _learn(self, step: int) -> None:
        formats = self._named(self._drawn)
        quality = self._quality(step)
        if not math.isfinite(quality):
            raise BuildFailed("the quality that formats are chosen by is not finite", "lower the learning_rate")
        reward = quality - self._options.beta * abs(self._cost.of(formats) / self._wanted - 1)
        advantage = self._policy.advantage(reward)
        if step >= self._delay:
            way = (step - self._delay) / (self._settles - self._delay)
            self._policy.update(self._drawn, advantage, way)

    def settled(self, step: int) -> bool:
        """See :class:`Constraint`."""
        return step >= self._settles

    def state_dict(self) -> dict[str, Any]:
        """See :class:`Constraint`."""
        return {"policy": self._policy.state_dict(), "drawn": self._drawn, "begun": self._layers.begun,
                "chosen": self._layers.chosen}  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`Constraint`."""
        self._policy.load_state_dict(state["policy"])
        self._drawn = tuple(state["drawn"])
        if state["begun"]:
            self._layers.resume()
        self._layers.select(state["chosen"])

    def reduction(self) -> float:
        """How many times cheaper than fp32 the most likely formats are."""
        return reduction(self._cost, self.formats)

    def _select(self, formats: Formats) -> None:
        self._layers.select({group: name for group, name in formats.items() if name != FLOAT})

    def _named(self, places: Sequence[int]) -> Formats:
        return {group: names[place] for (group, names), place in zip(self._choices.items(), places, strict=True)}

    def _extreme(self, which: Callable[..., str]) -> float:
        """The cost of the formats that are alone the cheapest, or the dearest, in each group."""
        found = {}
        for group, names in self._choices.items():
            alone = {name: self._cost.of({group: name}) for name in names}
            found[group] = which(alone, key=alone.__getitem__)
        return self._cost.of(found)


class Fixed:
    """Formats that do not change: quantisation-aware training. A :class:`search.training.sparsifier.Constraint`."""

    def __init__(self, layers: QuantisedLayers, formats: Mapping[str, str], steps: int, inputs_from: float) -> None:
        self._layers, self.formats = layers, dict(formats)
        self._begins = round(steps * inputs_from)

    @property
    def key(self) -> str:
        """See :class:`Constraint`."""
        return f"formats {sorted(self.formats.items())} from {self._begins}"

    def hold(self, step: int) -> None:
        """See :meth:`Constraint.hold`."""
        if step == 0:
            self._layers.select(self.formats)
        if step == self._begins:
            self._layers.begin()

    def settled(self, step: int) -> bool:
        """See :class:`Constraint`."""
        return step >= self._begins

    def state_dict(self) -> dict[str, Any]:
        """See :class:`Constraint`."""
        return {"begun": self._layers.begun}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`Constraint`."""
        self._layers.select(self.formats)
        if state["begun"]:
            self._layers.resume()
