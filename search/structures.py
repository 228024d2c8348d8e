"""Changed modules as drafts: changed, trained and exported once for each combination of module decisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from evaluators.child import report
from evaluators.graph_cleanup import prepared
from evaluators.layers import LayerGroup
from evaluators.onnx_model import load_model, save_model
from evaluators.quiet import one_at_a_time
from hwprofiles import digest_of
from search.folders import partial_path
from search.tasks.base import Task
from search.techniques import Draft, ModuleTechnique, technique_of
from search.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
"""Part of every structure's name; raised when changing or training changes."""


class Structures:
    """The structures of one task under one recipe, kept in ``folder`` for all jobs that share them.

    A structure is a function of task, techniques with their options, values and recipe: on a processor and with an
    equal number of threads the same bits, also where training was interrupted. Used from one thread; processes that
    want the same structure wait for the first of them.
    """

    def __init__(
        self,
        task: Task,
        subject: str,
        techniques: Mapping[str, ModuleTechnique],
        recipe: Recipe | None,
        groups: Callable[[onnx.ModelProto], tuple[LayerGroup, ...]],
        folder: Path,
    ) -> None:
        """``subject`` names the task's model and data, ``groups`` finds the layers of a graph."""
        self._task, self._subject, self.techniques, self._recipe = task, subject, techniques, recipe
        self._groups, self._folder = groups, folder
        self._known: dict[str, Draft] = {}

    def draft(self, decisions: Mapping[str, str]) -> Draft | None:
        """The exported graph of a candidate's structure, made on first use; None for the task's own."""
        values = self._changed(decisions)
        if not values:
            return None
        name = self._name(values)
        if name not in self._known:
            model = load_model(self._made(name, values))
            self._known[name] = Draft(model, self._groups(model), name)
        return self._known[name]

    @property
    def training(self) -> list[Any]:
        """What names the training: the recipe, and the data; JSON-able."""
        return [] if self._recipe is None else [self._recipe.model_dump(mode="json"), self._task.training().digest]

    def _changed(self, decisions: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """By technique, the values of its decisions, where there is one that changes something."""
        found = {}
        for name, technique in self.techniques.items():
            own = {one: value for one, value in decisions.items() if technique_of(one) == name}
            if any(value != technique.unchanged for value in own.values()):
                found[name] = own
        return found

    def _name(self, values: Mapping[str, Mapping[str, str]]) -> str:
        options = {name: self.techniques[name].options.model_dump(mode="json") for name in values}
        return digest_of(["structure", FORMAT, self._subject, self.training, options, values])

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.onnx"

    def _made(self, name: str, values: Mapping[str, Mapping[str, str]]) -> Path:
        path = self._path(name)
        with one_at_a_time(f"structure-{name[:16]}"):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                module = self._trained(name, values)
                source = path.with_name(f".{name}.{os.getpid()}.source.onnx")
                partial = partial_path(path)
                try:
                    report("exporting the changed model to ONNX")
                    self._task.export(source, module=module)
                    save_model(prepared(load_model(source)), partial)
                    partial.replace(path)
                finally:
                    source.unlink(missing_ok=True)
                    partial.unlink(missing_ok=True)
        return path

    def _trained(self, name: str, values: Mapping[str, Mapping[str, str]]) -> nn.Module:
        """The changed module after its training. A round that was interrupted goes on from its checkpoint."""
        module = self._task.module()
        rounds = max(self.techniques[one].rounds for one in values)
        checkpoints = [self._folder / f"{name}.{number}.checkpoint" for number in range(1, rounds + 1)]
        for number, checkpoint in enumerate(checkpoints, 1):
            for one, own in values.items():
                report(f"changing the model: {one}" + f", round {number} of {rounds}" * (rounds > 1))
                module = self.techniques[one].change(module, own, number / rounds)
            module = self._recovered(module, values if number == rounds else {}, rounds, checkpoint)
        for checkpoint in checkpoints:
            checkpoint.unlink(missing_ok=True)
        return module

    def _recovered(
        self, module: nn.Module, held: Mapping[str, Mapping[str, str]], rounds: int, checkpoint: Path
    ) -> nn.Module:
        """The module after a round's share of the training, held to what the techniques in ``held`` say."""
        from search.training.epochs import Epochs
        from search.training.recover import recover
        from search.training.sparsifier import together

        recipe, steps = self._recipe, 0
        if recipe is not None:
            data = self._task.training()
            whole = recipe.steps or recipe.epochs * Epochs(data, recipe.batch, recipe.seed).batches
            steps = max(1, whole // rounds)
        found = (self.techniques[one].constraint(module, own, steps) for one, own in held.items())
        constraint = together([one for one in found if one is not None])
        if recipe is None:
            if constraint is not None:
                constraint.hold(0)
            return module
        return recover(
            module, self._task.module(), data, recipe.model_copy(update={"steps": steps}),
            progress=report, checkpoint=checkpoint, constraint=constraint,
        ).module  # fmt: skip
