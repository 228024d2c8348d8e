"""The teachers that students are judged on: residual networks for digits, narrow and at 16x16."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from networks import answers
from torch import nn

from hwprofiles.errors import CandidateError
from search.options import validate_options
from search.space.candidate import Space
from search.tasks.digits import Digits, DigitsOptions
from search.techniques import Offer
from search.techniques.student import StudentOptions, StudentTechnique
from search.testing.techniques import create_task_subject
from search.training.outputs import TeacherCache
from search.training.recipe import Recipe
from search.training.recover import recover

TEACHERS = {
    "digits": DigitsOptions(preset="bench", width=32),
    "resnet18": DigitsOptions(preset="bench", depth=20),
    "resnet34": DigitsOptions(preset="bench", depth=32),
}
"""The network of the digits with half of its usual width; two with 9 and 15 blocks, where ResNet-18 and ResNet-34 have
8 and 16."""


@dataclass(frozen=True)
class Student:
    """A student after a training."""

    module: nn.Module
    parameters: int
    accuracy: float
    """On the validation split."""


@dataclass(frozen=True)
class Teacher:
    """A trained network, and the decisions about its students."""

    task: Digits
    technique: StudentTechnique
    space: Space
    outputs: TeacherCache
    """The network's own outputs, which all students learn from."""

    @property
    def parameters(self) -> int:
        """Of the network itself."""
        return count_parameters(self.technique.structure)

    @property
    def accuracy(self) -> float:
        """On the validation split."""
        return self.score(self.technique.structure, "validation")

    def score(self, module: nn.Module, split: str) -> float:
        """Accuracy of a module."""
        logits = answers(module, self.task.inputs(split)["image"])  # type: ignore[arg-type]
        return float(self.task.score({"logits": logits}, split)["accuracy"].mean())  # type: ignore[arg-type]

    def train(self, values: Mapping[str, str], steps: int) -> Student | None:
        """Trains the student of these decisions; None for one that cannot be built."""
        try:
            module = self.technique.change(self.task.module(), values, 1.0)
            recipe = Recipe(steps=steps, evaluate_every=steps, learning_rate=2e-3, patience=None, threads=1,
                            precision="float32")  # fmt: skip
            data = self.task.training()
            result = recover(module, self.task.module(), data, recipe, teacher_cache=self.outputs)
        except CandidateError:
            return None
        return Student(result.module, count_parameters(result.module), result.figure)

    def reward(self, student: Student | None) -> float:
        """The reward of N2N (Ashok et al., ICLR 2018), with the number of parameters as the cost."""
        if student is None or student.parameters >= self.parameters:
            return -1.0
        saved = 1 - student.parameters / self.parameters
        return saved * (2 - saved) * student.accuracy / self.accuracy


def count_parameters(module: nn.Module) -> int:
    """Counts the numbers that a module has learnt."""
    return sum(math.prod(parameter.shape) for parameter in module.parameters())


@cache
def teacher(name: str, seed: int) -> Teacher:
    """Trains a teacher once a seed."""
    task = Digits(TEACHERS[name].model_copy(update={"seed": seed}))
    with tempfile.TemporaryDirectory() as folder:
        options = validate_options(StudentOptions, {"round": 1}, "student")
        technique = StudentTechnique(create_task_subject(task, Path(folder)), options)
        decisions = technique.offer(None, Offer()).decisions
    return Teacher(task, technique, Space(decisions, task.digest), TeacherCache())
