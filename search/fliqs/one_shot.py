"""One-shot search: finds each layer's number format during the training of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hwprofiles.errors import BuildFailed, InvalidInput, Unreachable
from search.fliqs.cost import FLOAT, Cost, reduction
from search.fliqs.initial_policy import highest_uniform_bits, initial_logits
from search.fliqs.least_cost import least_cost
from search.fliqs.options import OneShotOptions
from search.fliqs.spend_rest import spend_rest
from search.policies.table import TablePolicy
from search.supernets.elastic import Architecture, Elastic
from search.training.quantised import QuantisedLayers

Formats = dict[str, str]

_DRAWS = 64
"""Draws of the policy at the end of the search."""

_FINALISTS, _BATCHES = 8, 8
"""Draws that are evaluated at the end, and the batches that each is evaluated on."""


class OneShotSearch:
    """Samples formats at every step and learns from the quality of the weights in them (FLIQS: Dotzel et al., AutoML
    2024; its reward is that of TuNAS: Bender et al., CVPR 2020).

    A :class:`search.training.constraint.TrainingConstraint`. The reward is ``quality(step) - beta * |C / C_target -
    1|`` with the quality on a held-out batch after each step. Differences to the paper: the policy starts near the
    target (:func:`initial_logits`); several draws are compared on each batch; and formats are fixed before the training
    ends, so that the last weights and bounds are trained for them alone. These are the best, on several batches, of the
    most likely draws that meet the target and of the highest uniform bits. For an ``elastic`` network (the one that
    ``layers`` belong to), a sub-network is searched in the same way (the paper's FLIQNAS).

    ``choices`` are the formats of each group of ``layers``, with or without fp32; ``target`` is how many times cheaper
    the model shall be than fp32, and than the largest sub-network. Raises :class:`Unreachable` if no assignment is that
    cheap, and :class:`InvalidInput` if a group and a decision of the network have the same name.
    """

    def __init__(
        self,
        layers: QuantisedLayers,
        choices: Mapping[str, Sequence[str]],
        cost: Cost,
        target: float,
        quality: Callable[[int], float],
        steps: int,
        options: OneShotOptions,
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
        # The first step observes inputs; the last step may fix the formats.
        self._inputs_step = max(1, round(steps * options.inputs_from))
        self._delay = min(round(steps * options.delay), steps - 1)
        self._final_step = min(max(round(steps * options.settle), self._delay + 1), steps)
        least = least_cost(self._choices, cost, self._wanted)
        if self._wanted < least * (1 - 1e-9):
            most = cost.of({}) / least
            variables = "formats" if elastic is None else "formats and sub-network"
            raise Unreachable(
                f"no {variables} make the model {target:g} times cheaper than fp32: at most {most:.3g} times",
                "set a lower target, or add formats to choose from",
            )
        rate = max(options.learning_rate, options.reach / max(1, self._final_step - self._delay))
        self._policy = TablePolicy(
            [len(names) for names in self._choices.values()], seed=seed, learning_rate=rate,
            momentum=options.momentum, entropy=options.entropy,
            logits=initial_logits(self._choices, self._groups, cost, self._wanted),
        )  # fmt: skip
        self._steps = steps
        self._draw: tuple[int, ...] = ()
        """Places of the values that the current step trains."""
        self._final: Formats | None = None
        """The result of the search, once there is one."""

    @property
    def key(self) -> str:
        """See :attr:`TrainingConstraint.key`."""
        return f"one-shot {self.target} {self._choices} {self._options} {self._seed} {self._final_step}"

    @property
    def formats(self) -> Formats:
        """Format of each group: the final one, before that the most likely one with the target's rest spent."""
        best = self._best
        return {group: best[group] for group in self._groups}

    @property
    def architecture(self) -> Architecture:
        """Value of each of the elastic network's decisions, likewise."""
        return {name: value for name, value in self._best.items() if name not in self._groups}

    @property
    def _best(self) -> Formats:
        """Formats and architecture together."""
        return self._final or self._spend_rest(self._values_at(self._policy.best()))

    @property
    def _logs(self) -> dict[str, dict[str, float]]:
        """Log probabilities of each decision's values."""
        rows = zip(self._choices.items(), self._policy.logs(), strict=True)
        return {name: dict(zip(values, row, strict=True)) for (name, values), row in rows}

    def _spend_rest(self, chosen: Formats) -> Formats:
        logs = {name: row for name, row in self._logs.items() if name in self._groups}
        return spend_rest(chosen, logs, self._cost, self._wanted)

    def _finalists(self) -> list[Formats]:
        """Collects the highest uniform bits and the policy's most likely draws that meet the target; the policy's best
        if none does."""
        logs, most = self._logs, self._wanted * (1 + 1e-9)
        likely = self._policy.best()
        draws = dict.fromkeys([likely, *(self._policy.sample() for _ in range(_DRAWS))])
        ranked = sorted(map(self._values_at, draws), key=lambda draw: -sum(logs[name][draw[name]] for name in draw))
        uniform = highest_uniform_bits(self._choices, self._groups, self._cost, most, self._values_at(likely))
        candidates = ([uniform] if uniform else []) + ranked
        fitting = [values for values in candidates if self._cost.of(values) <= most][:_FINALISTS]
        distinct = {tuple(values.items()): values for values in map(self._spend_rest, fitting)}
        return list(distinct.values()) or [self._best]

    def _choose_final(self) -> Formats:
        """Evaluates the finalists on several batches and returns the best by mean quality."""
        finalists = self._finalists()
        if len(finalists) == 1:
            return finalists[0]
        # A batch is identified by its step; steps beyond the training's last are used for nothing else.
        batches = range(self._steps, self._steps + _BATCHES)
        return max(finalists, key=lambda values: sum(self._quality_of(values, step) for step in batches))

    def apply(self, step: int) -> None:
        """Learns from the formats of this step and draws the next ones."""
        if step == self._inputs_step:
            self._layers.begin()
        if step >= self._final_step:
            if self._final is None:
                self._learn(step)
                self._final = self._choose_final()
            self._select(self._final)
            return
        if step:
            self._learn(step)
        self._draw = self._policy.sample()
        self._select(self._values_at(self._draw))

    def _learn(self, step: int) -> None:
        """Updates the policy from the values that this step trained and from further draws, all on one batch."""
        if step < self._delay:
            return
        draws = [self._draw, *(self._policy.sample() for _ in range(self._options.samples - 1))]
        reward_of = {draw: self._reward(self._values_at(draw), step) for draw in dict.fromkeys(draws)}
        rewards = [reward_of[draw] for draw in draws]
        progress = (step - self._delay) / (self._final_step - self._delay)
        self._policy.update(draws, self._policy.advantages(rewards), progress)

    def _reward(self, chosen: Formats, step: int) -> float:
        return self._quality_of(chosen, step) - self._options.beta * abs(self._cost.of(chosen) / self._wanted - 1)

    def _quality_of(self, chosen: Formats, step: int) -> float:
        self._select(chosen)
        quality = self._quality(step)
        if not math.isfinite(quality):
            raise BuildFailed("the quality in the search for formats is not finite", "lower the learning_rate")
        return quality

    def is_final(self, step: int) -> bool:
        """See :meth:`TrainingConstraint.is_final`."""
        return step >= max(self._final_step, self._inputs_step)

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`TrainingConstraint.state_dict`."""
        return {
            "policy": self._policy.state_dict(), "drawn": self._draw, "begun": self._layers.rounds_inputs,
            "found": self._final, "chosen": self._layers.chosen,
            "architecture": {} if self._elastic is None else self._elastic.chosen,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`TrainingConstraint.load_state_dict`."""
        self._policy.load_state_dict(state["policy"])
        self._final = state["found"]
        self._draw = tuple(state["drawn"])
        if state["begun"]:
            self._layers.resume()
        self._layers.select(state["chosen"])
        if self._elastic is not None:
            self._elastic.choose(state["architecture"])

    def reduction(self) -> float:
        """Computes how many times cheaper than fp32 the current result is."""
        return reduction(self._cost, self._best)

    def _select(self, chosen: Formats) -> None:
        self._layers.select({group: chosen[group] for group in self._groups if chosen[group] != FLOAT})
        if self._elastic is not None:
            self._elastic.choose({name: chosen[name] for name in self._elastic.choices})

    def _values_at(self, places: Sequence[int]) -> Formats:
        return {name: values[place] for (name, values), place in zip(self._choices.items(), places, strict=True)}


class FixedFormats:
    """Fixed formats: plain quantisation-aware training. A :class:`search.training.constraint.TrainingConstraint`."""

    def __init__(self, layers: QuantisedLayers, formats: Mapping[str, str], steps: int, inputs_from: float) -> None:
        self._layers, self.formats = layers, dict(formats)
        # At least 1: the first step observes inputs.
        self._inputs_step = max(1, round(steps * inputs_from))

    @property
    def key(self) -> str:
        """See :attr:`TrainingConstraint.key`."""
        return f"formats {sorted(self.formats.items())} from {self._inputs_step}"

    def apply(self, step: int) -> None:
        """See :meth:`TrainingConstraint.apply`."""
        if step == 0:
            self._layers.select(self.formats)
        if step == self._inputs_step:
            self._layers.begin()

    def is_final(self, step: int) -> bool:
        """See :meth:`TrainingConstraint.is_final`."""
        return step >= self._inputs_step

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`TrainingConstraint.state_dict`."""
        return {"begun": self._layers.rounds_inputs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`TrainingConstraint.load_state_dict`."""
        self._layers.select(self.formats)
        if state["begun"]:
            self._layers.resume()
