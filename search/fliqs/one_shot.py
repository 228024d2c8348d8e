"""One training that finds each layer's number format while it trains the weights for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hwprofiles.errors import BuildFailed, InvalidInput, Unreachable
from search.fliqs.cost import FLOAT, Cost, reduction
from search.fliqs.initial_policy import beginning, evenly
from search.fliqs.least_cost import least_cost
from search.fliqs.policy import Policy
from search.fliqs.spend_rest import filled
from search.strategies.fliqs import FliqsOptions
from search.supernets.elastic import Architecture, Elastic
from search.training.quantised import QuantisedLayers

Formats = dict[str, str]

_DRAWS, _FINALISTS, _LOOKS = 64, 8, 8
"""Of the policy when it ends; of them those that are asked; batches on which they are."""


class OneShot:
    """Samples formats at every step, and learns from the quality that the weights have in them (FLIQS: Dotzel et al.,
    AutoML 2024; its reward is that of TuNAS: Bender et al., CVPR 2020).

    A :class:`search.training.sparsifier.Constraint`. The reward is ``quality(step) - beta * |C / C_target - 1|``, the
    quality on a held-out batch after each step. Unlike there, the policy begins near the target (:func:`beginning`),
    several draws are compared on each batch, and formats are fixed before the training ends, so that the last weights
    and bounds are trained for them alone: the best, on several batches, of the most likely ones that meet the target
    and of as many bits everywhere. Of an ``elastic`` network, whose layers ``layers`` are, a sub-network is sampled and
    found in the same way (FLIQNAS there).

    ``choices`` are the formats of each group of ``layers``, fp32 among them or not; ``target`` is how many times
    cheaper than fp32, and than the largest of an elastic network, the model shall be. Raises :class:`Unreachable` where
    no assignment is that cheap, and :class:`InvalidInput` where a group is called as one of the network's decisions.
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
        elastic: Elastic | None = None,
    ) -> None:
        self._layers, self._cost, self._quality, self._elastic = layers, cost, quality, elastic
        self._choices = {group: tuple(names) for group, names in choices.items()}
        self._groups = tuple(self._choices)
        decisions = {} if elastic is None else elastic.choices
        if twice := decisions.keys() & self._choices.keys():
            raise InvalidInput(f"{min(twice)!r} is a group of layers and a decision", "name the decision otherwise")
        self._choices |= decisions
        self._wanted = cost.of({}) / target
        self._options, self._seed, self.target = options, seed, target
        # Inputs are seen in the first step, and the last step is for settling.
        self._begins = max(1, round(steps * options.inputs_from))
        self._delay = min(round(steps * options.delay), steps - 1)
        self._settles = min(max(round(steps * options.settle), self._delay + 1), steps)
        least = least_cost(self._choices, cost, self._wanted)
        if self._wanted < least * (1 - 1e-9):
            most = cost.of({}) / least
            what = "formats" if elastic is None else "formats and sub-network"
            raise Unreachable(
                f"no {what} make the model {target:g} times cheaper than fp32: at most {most:.3g} times",
                "take a lower target, or more formats to choose from",
            )
        rate = max(options.learning_rate, options.reach / max(1, self._settles - self._delay))
        self._policy = Policy(
            [len(names) for names in self._choices.values()], seed=seed, learning_rate=rate,
            momentum=options.momentum, entropy=options.entropy,
            logits=beginning(self._choices, self._groups, cost, self._wanted),
        )  # fmt: skip
        self._steps = steps
        self._drawn: tuple[int, ...] = ()
        self._found: Formats | None = None

    @property
    def key(self) -> str:
        """See :class:`Constraint`."""
        return f"one-shot {self.target} {self._choices} {self._options} {self._seed} {self._settles}"

    @property
    def formats(self) -> Formats:
        """Of each group: what was found, until then what is the most likely, with more bits where the target leaves
        room."""
        best = self._best
        return {group: best[group] for group in self._groups}

    @property
    def architecture(self) -> Architecture:
        """The value of each of the elastic network's decisions, likewise."""
        return {name: value for name, value in self._best.items() if name not in self._groups}

    @property
    def _best(self) -> Formats:
        """Both."""
        return self._found or self._filled(self._named(self._policy.best()))

    @property
    def _logs(self) -> dict[str, dict[str, float]]:
        """The logarithm of the probability of each decision's values."""
        rows = zip(self._choices.items(), self._policy.logs(), strict=True)
        return {name: dict(zip(values, row, strict=True)) for (name, values), row in rows}

    def _filled(self, chosen: Formats) -> Formats:
        logs = {name: row for name, row in self._logs.items() if name in self._groups}
        return filled(chosen, logs, self._cost, self._wanted)

    def _finalists(self) -> list[Formats]:
        """The same bits everywhere, and the most likely of what the policy draws, where they meet the target; what it
        likes best where nothing does."""
        logs, most = self._logs, self._wanted * (1 + 1e-9)
        likely = self._policy.best()
        drawn = dict.fromkeys([likely, *(self._policy.sample() for _ in range(_DRAWS))])
        named = sorted(map(self._named, drawn), key=lambda one: -sum(logs[name][one[name]] for name in one))
        even = evenly(self._choices, self._groups, self._cost, most, self._named(likely))
        met = [one for one in ([even] if even else []) + named if self._cost.of(one) <= most][:_FINALISTS]
        whole = {tuple(one.items()): one for one in map(self._filled, met)}
        return list(whole.values()) or [self._best]

    def _settle(self) -> Formats:
        """The best of the finalists by their mean quality on several batches."""
        finalists = self._finalists()
        if len(finalists) == 1:
            return finalists[0]
        # Batches are told apart by their step: those beyond the last one are asked about nothing else.
        looks = range(self._steps, self._steps + _LOOKS)
        return max(finalists, key=lambda one: sum(self._quality_of(one, step) for step in looks))

    def hold(self, step: int) -> None:
        """Learns from the formats of this step and draws the next ones."""
        if step == self._begins:
            self._layers.begin()
        if step >= self._settles:
            if self._found is None:
                self._learn(step)
                self._found = self._settle()
            self._select(self._found)
            return
        if step:
            self._learn(step)
        self._drawn = self._policy.sample()
        self._select(self._named(self._drawn))

    def _learn(self, step: int) -> None:
        """From what this step was trained in, and from as many further draws as the options say, on one batch."""
        if step < self._delay:
            return
        others = (self._policy.sample() for _ in range(self._options.samples - 1))
        drawn = [self._drawn, *others]
        known = {one: self._reward(self._named(one), step) for one in dict.fromkeys(drawn)}
        rewards = [known[one] for one in drawn]
        way = (step - self._delay) / (self._settles - self._delay)
        self._policy.update(drawn, self._policy.advantages(rewards), way)

    def _reward(self, chosen: Formats, step: int) -> float:
        return self._quality_of(chosen, step) - self._options.beta * abs(self._cost.of(chosen) / self._wanted - 1)

    def _quality_of(self, chosen: Formats, step: int) -> float:
        self._select(chosen)
        quality = self._quality(step)
        if not math.isfinite(quality):
            raise BuildFailed("the quality that formats are chosen by is not finite", "lower the learning_rate")
        return quality

    def settled(self, step: int) -> bool:
        """See :class:`Constraint`."""
        return step >= max(self._settles, self._begins)

    def state_dict(self) -> dict[str, Any]:
        """See :class:`Constraint`."""
        return {
            "policy": self._policy.state_dict(), "drawn": self._drawn, "begun": self._layers.begun,
            "found": self._found, "chosen": self._layers.chosen,
            "architecture": {} if self._elastic is None else self._elastic.chosen,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`Constraint`."""
        self._policy.load_state_dict(state["policy"])
        self._found = state["found"]
        self._drawn = tuple(state["drawn"])
        if state["begun"]:
            self._layers.resume()
        self._layers.select(state["chosen"])
        if self._elastic is not None:
            self._elastic.choose(state["architecture"])

    def reduction(self) -> float:
        """How many times cheaper than fp32 these are."""
        return reduction(self._cost, self._best)

    def _select(self, chosen: Formats) -> None:
        self._layers.select({group: chosen[group] for group in self._groups if chosen[group] != FLOAT})
        if self._elastic is not None:
            self._elastic.choose({name: chosen[name] for name in self._elastic.choices})

    def _named(self, places: Sequence[int]) -> Formats:
        return {name: values[place] for (name, values), place in zip(self._choices.items(), places, strict=True)}


class Fixed:
    """Formats that do not change: quantisation-aware training. A :class:`search.training.sparsifier.Constraint`."""

    def __init__(self, layers: QuantisedLayers, formats: Mapping[str, str], steps: int, inputs_from: float) -> None:
        self._layers, self.formats = layers, dict(formats)
        # Not sooner: it is in the first step that inputs are seen.
        self._begins = max(1, round(steps * inputs_from))

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
