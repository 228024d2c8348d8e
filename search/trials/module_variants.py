"""Variants of the task's module: changed, trained and exported once for each combination of module decisions."""

from __future__ import annotations

import json
import math
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
from search.filters import Filter, Untrained
from search.folders import partial_path, write_json
from search.tasks.base import Task
from search.techniques import Draft, ModuleTechnique
from search.training.asha import Figures, Halving
from search.training.recipe import Recipe
from search.trials.candidate_filter import Judged

if TYPE_CHECKING:
    from torch import nn

    from search.training.constraint import TrainingConstraint


FORMAT = 2
"""Part of every variant's name; raised when changing or training changes."""


@dataclass(frozen=True)
class TrainingResult:
    """The course of a variant's training."""

    figures: tuple[float, ...]
    """Figures after each evaluation; the first one is from before the first step."""
    stopped: bool = False
    """Whether it ended early because it fell behind other trainings."""


class ModuleVariants:
    """The variants of one task's module under one recipe, stored in ``folder`` for all jobs that share them.

    A variant is a function of task, techniques with their options, values and recipe: on a processor and with an equal
    number of threads it has the same bits, also after an interrupted training. Used from one thread. Trainings that
    take all cores wait for other trainings of this user on this machine, since two at once are slower than one after
    the other; with fewer threads, as many run in parallel as there are cores for.
    """

    def __init__(
        self,
        task: Task,
        subject: str,
        techniques: Mapping[str, ModuleTechnique],
        recipe: Recipe | None,
        groups: Callable[[onnx.ModelProto], tuple[LayerGroup, ...]],
        folder: Path,
        technique_of: Callable[[str], str],
    ) -> None:
        """``subject`` names the task's model and data; ``groups`` returns the layer groups of a graph.

        ``technique_of`` returns the technique of a decision by its name.
        """
        self._task, self._subject, self.techniques, self._recipe = task, subject, techniques, recipe
        self._groups, self._folder, self._technique_of = groups, folder, technique_of
        self._drafts: Recent[str, Draft] = Recent(lambda draft: size_of(draft.model))
        self._answers: Any = None
        """The teacher's outputs, which all variants learn from."""

    def train(self, decisions: Mapping[str, str], earlier: Sequence[Figures] = ()) -> TrainingResult | None:
        """Trains a candidate's variant, in up to hours, unless it is stored; None for the task's own module.

        With ``halving`` in the recipe, a training that falls behind the ``earlier`` ones ends early and is not stored.
        This depends on the figures alone, also for a stored variant.
        """
        values = self._module_values(decisions)
        if not values:
            return None
        halving = None
        if self._recipe is not None and self._recipe.halving is not None:
            halving = Halving.after(self._recipe.halving, earlier)
        try:
            path = self._ensure_file(self._name(values), values, halving)
        except _Behind as behind:
            return TrainingResult(behind.figures, stopped=True)
        course = _Course.read(path)
        figures = tuple(course.figures)
        for evaluations in course.looked_at:
            if halving is not None and not halving.goes_on(evaluations, figures[evaluations]):
                return TrainingResult(figures[: evaluations + 1], stopped=True)
        return TrainingResult(figures)

    def score(self, decisions: Mapping[str, str], filters: Mapping[str, Filter]) -> Judged | None:
        """Computes what filters think of a candidate's variant before its training, in seconds; None for the task's own
        module."""
        from search.training.threads import threads

        values = self._module_values(decisions)
        if not values:
            return None
        recipe = self._recipe or Recipe()
        with threads(recipe.threads):
            module = self._task.module()
            own = _count_parameters(module)
            for technique, chosen in values.items():
                report(f"changing the model: {technique}")
                module = self.techniques[technique].change(module, chosen, 1.0)
            report("filtering")
            size = max(1, _count_parameters(module)) / max(1, own)
            untrained = Untrained(module, self._task.module, self._task.training(), recipe, size)
            scores = {name: kind.score(untrained) for name, kind in filters.items()}
        return Judged(self._name(values), size, scores)

    def draft(self, decisions: Mapping[str, str]) -> Draft | None:
        """Returns the exported graph of a candidate's variant, trained on first use; None for the task's own module."""
        values = self._module_values(decisions)
        if not values:
            return None
        name = self._name(values)

        def read() -> Draft:
            path = self._ensure_file(name, values)
            model = load_model(path)
            return Draft(model, self._groups(model), name, _Course.read(path).notes)

        return self._drafts.get(name, read)

    @property
    def training(self) -> list[Any]:
        """JSON-able identity of the training: the recipe, and the data's digest."""
        if self._recipe is None:
            return []
        return [self._recipe.model_dump(mode="json", exclude={"halving"}), self._task.training().digest]

    def _module_values(self, decisions: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Returns the values of module decisions by technique, for techniques that change something."""
        changes = {}
        for name, technique in self.techniques.items():
            own = {decision: value for decision, value in decisions.items() if self._technique_of(decision) == name}
            own = dict(technique.effective(own)) if own else own
            if any(value != technique.unchanged for value in own.values()):
                changes[name] = own
        return changes

    def _name(self, values: Mapping[str, Mapping[str, str]]) -> str:
        options = {name: self.techniques[name].options.model_dump(mode="json") for name in values}
        dependencies = [data for name in values if (data := self.techniques[name].depends())]
        return digest_of(["structure", FORMAT, self._subject, self.training, options, values, *dependencies])

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.onnx"

    def _ensure_file(self, name: str, values: Mapping[str, Mapping[str, str]], halving: Halving | None = None) -> Path:
        path = self._path(name)
        if not path.exists():
            with one_at_a_time(self._lock_name(name)):
                if not path.exists():  # another process may have made it
                    self._make(path, values, halving)
        return path

    def _lock_name(self, name: str) -> str:
        """Names of the lock under which a variant is trained; there are as many locks as trainings fit on the cores.

        Equal variants have equal locks.
        """
        threads = None if self._recipe is None else self._recipe.threads
        places = 1 if threads is None else max(1, len(usable_cores()) // threads)
        return f"training-{int(name[:8], 16) % places}"

    def _make(self, path: Path, values: Mapping[str, Mapping[str, str]], halving: Halving | None) -> None:
        """Trains the variant, and writes its graph and the course of its training."""
        from search.training.threads import threads

        path.parent.mkdir(parents=True, exist_ok=True)
        with threads(None if self._recipe is None else self._recipe.threads):
            module, course = self._train_module(path.stem, values, halving)
        for name, own in values.items():
            notes = self.techniques[name].finish(module, own)
            course.notes |= {name: notes} if notes else {}
        for name, own in values.items():
            module = self.techniques[name].module_to_export(module, own)
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

    def _train_module(
        self, name: str, values: Mapping[str, Mapping[str, str]], halving: Halving | None
    ) -> tuple[nn.Module, _Course]:
        """Changes and trains the module in rounds, from the last checkpoint on; the module, and the course."""
        module = self._task.module()
        rounds = max(self.techniques[technique].rounds for technique in values)
        steps = self._steps(values, rounds)
        checkpoints = [self._folder / f"{name}.{number}.checkpoint" for number in range(1, rounds + 1)]
        course = _Course()
        try:
            for number, checkpoint in enumerate(checkpoints, 1):
                for technique, own in values.items():
                    report(f"changing the model: {technique}" + f", round {number} of {rounds}" * (rounds > 1))
                    module = self.techniques[technique].change(module, own, number / rounds)
                held = values if number == rounds else {}
                module = self._train_round(module, held, steps, checkpoint, course, halving)
        except _Behind:
            _remove(checkpoints)
            raise
        _remove(checkpoints)
        return module, course

    @cached_property
    def _batches(self) -> int:
        """Batches of an epoch; cached, since counting draws its samples."""
        from search.training.epochs import Epochs

        return (
            0 if self._recipe is None else Epochs(self._task.training(), self._recipe.batch, self._recipe.seed).batches
        )

    def _steps(self, values: Mapping[str, Mapping[str, str]], rounds: int) -> int:
        """Computes the steps of the training of each of so many rounds."""
        if self._recipe is None:
            return 0
        length = math.prod(self.techniques[technique].training_length(own) for technique, own in values.items())
        usual = self._recipe.steps or self._recipe.epochs * self._batches
        return max(1, int(usual * length) // rounds)

    def _constraint(
        self, module: nn.Module, values: Mapping[str, Mapping[str, str]], steps: int
    ) -> TrainingConstraint | None:
        """Returns the constraints of these techniques on a training of so many steps, together."""
        from search.training.constraint import combine_constraints

        constraints = (self.techniques[name].constraint(module, own, steps) for name, own in values.items())
        return combine_constraints([constraint for constraint in constraints if constraint is not None])

    def _train_round(
        self,
        module: nn.Module,
        held: Mapping[str, Mapping[str, str]],
        steps: int,
        checkpoint: Path,
        course: _Course,
        halving: Halving | None,
    ) -> nn.Module:
        """Trains the module for so many steps; adds to ``course``.

        Techniques in ``held`` constrain the training.
        """
        from search.training.outputs import TeacherCache
        from search.training.recover import recover

        recipe = self._recipe
        if recipe is None:
            constraint = self._constraint(module, held, 0)
            if constraint is not None:
                constraint.apply(0)
            return module
        data = self._task.training()
        every = recipe.evaluate_every or self._batches
        earlier = max(0, len(course.figures) - 1)

        def evaluations(step: int) -> int:
            return earlier + -(-step // every)

        def goes_on(step: int, figure: float) -> bool:
            return halving is None or step >= steps or halving.goes_on(evaluations(step), figure)

        self._answers = self._answers or TeacherCache()
        recovery = recover(
            module, self._task.module(), data, recipe.model_copy(update={"steps": steps}), progress=report,
            checkpoint=checkpoint, constraint=self._constraint(module, held, steps), keep_going=goes_on,
            teacher_cache=self._answers,
        )  # fmt: skip
        course.figures += [point.figure for point in recovery.history[1 if course.figures else 0 :]]
        course.looked_at += [evaluations(point.step) for point in recovery.history if 0 < point.step < steps]
        if recovery.stopped == "ended":
            raise _Behind(tuple(course.figures))
        return recovery.module


@dataclass
class _Course:
    """The course of a training, as it is stored with the graph."""

    figures: list[float] = field(default_factory=list)
    """Figures after each evaluation; the first one is from before the first step."""
    looked_at: list[int] = field(default_factory=list)
    """Evaluations at which the training could have ended early."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Notes of techniques about the result."""

    @classmethod
    def read(cls, path: Path) -> _Course:
        """Reads the course of the variant in a file."""
        return cls(**json.loads(path.with_suffix(".json").read_text()))


class _Behind(Exception):
    """Raised to end a training that fell behind."""

    def __init__(self, figures: tuple[float, ...]) -> None:
        self.figures = figures


def _count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
