"""Changed modules as drafts: changed, trained and exported once for each combination of module decisions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.file import size_of
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.model import load_model, save_model
from evaluators.processes.locks import one_at_a_time
from evaluators.processes.recent import Recent
from evaluators.processes.sandbox_child import report
from hwprofiles import digest_of
from hwprofiles.probe import usable_cores
from search.folders import partial_path, write_json
from search.tasks.base import Task
from search.techniques import Draft, ModuleTechnique, technique_of
from search.training.asha import Figures, Halving
from search.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from search.training.constraint import TrainingConstraint

FORMAT = 2
"""Part of every structure's name; raised when changing or training changes."""


@dataclass(frozen=True)
class Trained:
    """How a structure's training went: the figures after each evaluation, the first being that before the first step,
    and whether it was not worth going on with."""

    figures: tuple[float, ...]
    stopped: bool = False


class Structures:
    """The structures of one task under one recipe, kept in ``folder`` for all jobs that share them.

    A structure is a function of task, techniques with their options, values and recipe: on a processor and with an
    equal number of threads the same bits, also where training was interrupted. Used from one thread. Trainings of this
    user on this machine that take all cores wait for one another, since two at once are slower than one after another;
    with fewer threads as many as there are cores for run side by side.
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
        self._drafts: Recent[str, Draft] = Recent(lambda draft: size_of(draft.model))
        self._answers: Any = None
        """The teacher's, which all structures learn from."""

    def train(self, decisions: Mapping[str, str], earlier: Sequence[Figures] = ()) -> Trained | None:
        """Makes a candidate's structure, which takes long only the first time; None for the task's own.

        Where the recipe says so, a training that falls behind the ``earlier`` ones ends early, and nothing is kept of
        it. Whether it does is a matter of the figures alone, also where the structure was made before.
        """
        values = self._changed(decisions)
        if not values:
            return None
        halving = None
        if self._recipe is not None and self._recipe.halving is not None:
            halving = Halving.after(self._recipe.halving, earlier)
        try:
            path = self._made(self._name(values), values, halving)
        except _Behind as behind:
            return Trained(behind.figures, stopped=True)
        course = _Course.read(path)
        figures = tuple(course.figures)
        for evaluations in course.looked_at:
            if halving is not None and not halving.goes_on(evaluations, figures[evaluations]):
                return Trained(figures[: evaluations + 1], stopped=True)
        return Trained(figures)

    def draft(self, decisions: Mapping[str, str]) -> Draft | None:
        """The exported graph of a candidate's structure, made on first use; None for the task's own."""
        values = self._changed(decisions)
        if not values:
            return None
        name = self._name(values)

        def read() -> Draft:
            path = self._made(name, values)
            model = load_model(path)
            return Draft(model, self._groups(model), name, _Course.read(path).notes)

        return self._drafts.get(name, read)

    @property
    def training(self) -> list[Any]:
        """What names the training: the recipe, and the data; JSON-able."""
        if self._recipe is None:
            return []
        return [self._recipe.model_dump(mode="json", exclude={"halving"}), self._task.training().digest]

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
        beside = [found for name in values if (found := self.techniques[name].depends())]
        return digest_of(["structure", FORMAT, self._subject, self.training, options, values, *beside])

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.onnx"

    def _made(self, name: str, values: Mapping[str, Mapping[str, str]], halving: Halving | None = None) -> Path:
        path = self._path(name)
        if not path.exists():
            with one_at_a_time(self._place(name)):
                if not path.exists():  # meanwhile
                    self._make(path, values, halving)
        return path

    def _place(self, name: str) -> str:
        """Where on this machine a structure is trained: as many at once as there are cores for. The same one always at
        the same place."""
        threads = None if self._recipe is None else self._recipe.threads
        places = 1 if threads is None else max(1, len(usable_cores()) // threads)
        return f"training-{int(name[:8], 16) % places}"

    def _make(self, path: Path, values: Mapping[str, Mapping[str, str]], halving: Halving | None) -> None:
        """Writes the graph, and beside it the course of its training."""
        from search.training.threads import threads

        path.parent.mkdir(parents=True, exist_ok=True)
        with threads(None if self._recipe is None else self._recipe.threads):
            module, course = self._trained(path.stem, values, halving)
        for one, own in values.items():
            found = self.techniques[one].finish(module, own)
            course.notes |= {one: found} if found else {}
        for one, own in values.items():
            module = self.techniques[one].exported(module, own)
        write_json(path.with_suffix(".json"), asdict(course))
        source = path.with_name(f".{path.stem}.{os.getpid()}.source.onnx")
        partial = partial_path(path)
        try:
            report("exporting the changed model to ONNX")
            self._task.export(source, module=module)
            save_model(clean_graph(load_model(source), consumed=True), partial)
            partial.replace(path)
        finally:
            source.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)

    def _trained(
        self, name: str, values: Mapping[str, Mapping[str, str]], halving: Halving | None
    ) -> tuple[nn.Module, _Course]:
        """The changed module after its training, and the course of that. A round that was interrupted goes on from its
        checkpoint."""
        module = self._task.module()
        rounds = max(self.techniques[one].rounds for one in values)
        checkpoints = [self._folder / f"{name}.{number}.checkpoint" for number in range(1, rounds + 1)]
        course = _Course()
        try:
            for number, checkpoint in enumerate(checkpoints, 1):
                for one, own in values.items():
                    report(f"changing the model: {one}" + f", round {number} of {rounds}" * (rounds > 1))
                    module = self.techniques[one].change(module, own, number / rounds)
                held = values if number == rounds else {}
                module = self._recovered(module, held, rounds, checkpoint, course, halving)
        except _Behind:
            _remove(checkpoints)
            raise
        _remove(checkpoints)
        return module, course

    @cached_property
    def _batches(self) -> int:
        """Of an epoch: counted once, since that draws its samples."""
        from search.training.epochs import Epochs

        return (
            0 if self._recipe is None else Epochs(self._task.training(), self._recipe.batch, self._recipe.seed).batches
        )

    def _constraint(
        self, module: nn.Module, values: Mapping[str, Mapping[str, str]], steps: int
    ) -> TrainingConstraint | None:
        """All that these techniques hold the module to while it is trained for so many steps."""
        from search.training.constraint import combine_constraints

        found = (self.techniques[one].constraint(module, own, steps) for one, own in values.items())
        return combine_constraints([one for one in found if one is not None])

    def _recovered(
        self,
        module: nn.Module,
        held: Mapping[str, Mapping[str, str]],
        rounds: int,
        checkpoint: Path,
        course: _Course,
        halving: Halving | None,
    ) -> nn.Module:
        """The module after a round's share of the training, held to what the techniques in ``held`` say; ``course`` is
        added to."""
        from search.training.outputs import TeacherCache
        from search.training.recover import recover

        recipe = self._recipe
        if recipe is None:
            constraint = self._constraint(module, held, 0)
            if constraint is not None:
                constraint.apply(0)
            return module
        data, batches = self._task.training(), self._batches
        steps = max(1, (recipe.steps or recipe.epochs * batches) // rounds)
        every = recipe.evaluate_every or batches
        earlier = max(0, len(course.figures) - 1)

        def evaluations(step: int) -> int:
            return earlier + -(-step // every)

        def going_on(step: int, figure: float) -> bool:
            return halving is None or step >= steps or halving.goes_on(evaluations(step), figure)

        self._answers = self._answers or TeacherCache()
        found = recover(
            module, self._task.module(), data, recipe.model_copy(update={"steps": steps}), progress=report,
            checkpoint=checkpoint, constraint=self._constraint(module, held, steps), keep_going=going_on,
            teacher_cache=self._answers,
        )  # fmt: skip
        course.figures += [point.figure for point in found.history[1 if course.figures else 0 :]]
        course.looked_at += [evaluations(point.step) for point in found.history if 0 < point.step < steps]
        if found.stopped == "ended":
            raise _Behind(tuple(course.figures))
        return found.module


@dataclass
class _Course:
    """The figures of a training after each evaluation, the evaluations at which it might have been ended, and what
    techniques noted about what came out."""

    figures: list[float] = field(default_factory=list)
    looked_at: list[int] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> _Course:
        """That of the structure in a file."""
        return cls(**json.loads(path.with_suffix(".json").read_text()))


class _Behind(Exception):
    """A training that is not worth going on with."""

    def __init__(self, figures: tuple[float, ...]) -> None:
        self.figures = figures


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
