"""Recovery: training that brings a changed module's quality back, shared by all techniques."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from evaluators.measuring.quality import fidelity
from evaluators.processes.locks import working
from evaluators.tensors import Array
from hwprofiles import digest_of
from hwprofiles.errors import BuildFailed, InvalidInput, OutOfMemory
from hwprofiles.probe import instruction_sets
from search.training import checkpoint as files
from search.training.data import TrainingData
from search.training.epochs import Epochs
from search.training.learning_rate import learning_rate_factor
from search.training.losses import Loss, made_losses
from search.training.normalisation import normalisations, reestimate
from search.training.outputs import Remembered, Seen, Tapped, move, to_tensors
from search.training.recipe import Recipe
from search.training.sparsifier import Constraint
from search.training.threads import threads

Progress = Callable[[str], None]
Report = Callable[[int, float], bool]
"""Told the step and the figure of each evaluation; training goes on while it answers True."""


Penalty = Callable[[nn.Module], Tensor]
"""The student to a scalar that depends on its weights alone."""


@dataclass(frozen=True)
class Point:
    """An evaluation after ``step`` updates: the mean training loss since the last one, None where nothing was trained,
    and the figure on the validation samples."""

    step: int
    loss: float | None
    figure: float


@dataclass(frozen=True)
class Recovered:
    """What became of a student: the ``module`` itself, in evaluation mode with its best weights; their ``figure``, the
    figure ``before``, the step that they are from, all points, and what ended the training: its length, the recipe's
    patience, or the report."""

    module: nn.Module
    figure: float
    before: float
    best_step: int
    stopped: Literal["finished", "patience", "report"]
    history: tuple[Point, ...]

    @property
    def steps(self) -> int:
        """Updates that were made."""
        return self.history[-1].step


def mixes(recipe: Recipe, place: torch.device) -> bool:
    """Whether bfloat16 is mixed in: its range is float32's, so gradients need no scaling. ``auto`` does where there is
    hardware for it, a GPU or a processor with AMX."""
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16"
    return place.type != "cpu" or "amx_bf16" in instruction_sets()


def recover(
    student: nn.Module,
    teacher: nn.Module | None,
    data: TrainingData,
    recipe: Recipe,
    *,
    progress: Progress = lambda text: None,
    checkpoint: Path | None = None,
    report: Report = lambda step, figure: True,
    constraint: Constraint | None = None,
    penalty: Penalty | None = None,
    remembered: Remembered | None = None,
    device: str | None = None,
) -> Recovered:
    """Trains the student as the recipe says and leaves it with the weights that have the best validation figure; those
    that it came with count too, so the figure never falls.

    AdamW (Loshchilov and Hutter, ICLR 2019). Running statistics are estimated anew at the end where that makes the
    figure no worse. ``constraint`` is what the student is held to; states before it has settled are no results, unless
    ``report`` ends the training sooner. ``penalty`` is added to the loss of each step. ``remembered`` is shared
    by trainings of equal teacher, data, batch and seed. ``device`` is the processor unless there is a GPU.

    Everything random follows from the recipe's seed: on a processor, equal arguments and an equal number of threads
    give equal bits, and so does a training that was interrupted and goes on from its ``checkpoint``, which is written
    at each evaluation and left to the caller. Pauses between batches while a measurement runs on this machine. The
    teacher is not changed.

    Raises :class:`InvalidInput` for a recipe that does not fit, :class:`BuildFailed` for a loss, an output or a figure
    that is not finite, :class:`OutOfMemory`, and :class:`StorageError` for a checkpoint that cannot be used.
    """
    if student is teacher:
        raise InvalidInput("training: student and teacher are one module", "give a copy of it as the teacher")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gpus = [place.index or 0] if place.type == "cuda" else []
    modules = [module for module in (student, teacher) if module is not None]
    try:
        with torch.random.fork_rng(devices=gpus), threads(recipe.threads), ExitStack() as stack:
            torch.manual_seed(recipe.seed)
            for module in modules:
                move(module, place, torch.channels_last)
            losses = made_losses(recipe.losses)
            taps = [{name for loss in losses.values() for name in loss.taps[side]} for side in (0, 1)]
            run = _Run(
                stack.enter_context(Tapped(student, sorted(taps[0]), "student")),
                None if teacher is None else stack.enter_context(Tapped(teacher.eval(), sorted(taps[1]), "teacher")),
                student, losses, data, recipe, constraint, penalty, None if taps[1] else remembered, place,
            )  # fmt: skip
            return run.result(progress, checkpoint, report)
    except torch.OutOfMemoryError:
        raise OutOfMemory("training outgrew the GPU's memory", "lower the recipe's batch") from None
    finally:
        for module in modules:
            move(module, torch.device("cpu"), torch.contiguous_format)


@dataclass
class _State:
    """Where a training stands; tensors and plain data, but for the optimiser's and the modules' own."""

    step: int
    best_step: int
    best_figure: float
    best: dict[str, Tensor] | None
    """None before there is a state that counts."""
    since_best: int
    history: list[Point]
    losses: list[float]
    """Of the steps since the last point."""


class _Run:
    def __init__(
        self,
        student: Tapped,
        teacher: Tapped | None,
        module: nn.Module,
        losses: dict[str, Loss],
        data: TrainingData,
        recipe: Recipe,
        constraint: Constraint | None,
        penalty: Penalty | None,
        remembered: Remembered | None,
        place: torch.device,
    ) -> None:
        self._student, self._teacher, self._module = student, teacher, module
        self._data, self._recipe, self._constraint, self._place = data, recipe, constraint, place
        self._penalty, self._remembered = penalty, remembered or Remembered(0)
        self._is_mixed = mixes(recipe, place)
        self._losses = nn.ModuleDict(losses)
        self._weights = {name: loss.options.weight for name, loss in losses.items()}
        self._epoch = Epochs(data, recipe.batch, recipe.seed)
        self._steps = recipe.steps or recipe.epochs * self._epoch.batches
        self._every = recipe.evaluate_every or self._epoch.batches
        self._reference: Array | None = None
        module.eval()
        with torch.no_grad():
            seen = self._seen(0)
            for loss in losses.values():
                loss.to(place).prepare(seen)
        own = [weight for weight in (*module.parameters(), *self._losses.parameters()) if weight.requires_grad]
        if not own:
            raise InvalidInput("training: the student has no weights that can be trained", "give one that has")
        self._own = own
        self._optimizer = torch.optim.AdamW(own, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)

    @property
    def _key(self) -> str:
        """What a checkpoint must agree with."""
        shapes = {name: list(values.shape) for name, values in self._module.state_dict().items()}
        return digest_of(
            [
                shapes, self._recipe.model_dump(mode="json"), self._data.digest, self._steps, self._teacher is None,
                None if self._constraint is None else self._constraint.key, self._penalty is None, self._is_mixed,
            ]
        )  # fmt: skip

    def result(self, progress: Progress, path: Path | None, report: Report) -> Recovered:
        """Trains to the end."""
        state = self._loaded(path) or self._begun()
        stopped: Literal["finished", "patience", "report"] = "finished"
        while state.step < self._steps:
            if self._impatient(state):
                stopped = "patience"
                break
            self._step(state)
            if state.step % self._every and state.step < self._steps:
                continue
            point = self._evaluated(state)
            progress(f"training: step {point.step} of {self._steps}, loss {point.loss:.3g}, figure {point.figure:.4f}")
            if path is not None:
                self._save(path, state)
            if not report(point.step, point.figure):
                stopped = "report"
                break
        figure, best_step = state.best_figure, state.best_step
        if state.best is None:
            figure, best_step = state.history[-1].figure, state.step
        else:
            self._module.load_state_dict(state.best)
        figure = self._normalised(figure)
        self._module.eval()
        return Recovered(self._module, figure, state.history[0].figure, best_step, stopped, tuple(state.history))

    def _begun(self) -> _State:
        state = _State(0, 0, -math.inf, None, 0, [], [])
        self._hold(0)
        self._evaluated(state)
        return state

    def _impatient(self, state: _State) -> bool:
        return self._recipe.patience is not None and state.since_best >= self._recipe.patience

    def _step(self, state: _State) -> None:
        """One update."""
        recipe = self._recipe
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * learning_rate_factor(state.step, self._steps, recipe.warm_up)
        self._module.train()
        with working():
            loss = self._loss(state.step)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise BuildFailed(
                    f"training gave a loss of {value} at step {state.step + 1} of {self._steps}",
                    "lower the recipe's learning_rate, or set gradient_clip",
                )
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.gradient_clip is not None:
                nn.utils.clip_grad_norm_(self._own, recipe.gradient_clip)
            self._optimizer.step()
        state.step += 1
        state.losses.append(value)
        self._hold(state.step)

    def _hold(self, step: int) -> None:
        if self._constraint is not None:
            self._constraint.hold(step)

    def _loss(self, step: int) -> Tensor:
        seen = self._seen(step)
        with torch.autocast(self._place.type, enabled=False):
            terms = [self._weights[name] * loss(seen) for name, loss in self._losses.items()]
            if self._penalty is not None:
                terms.append(self._penalty(self._module))
        return torch.stack([term.reshape(()) for term in terms]).sum()

    def _seen(self, step: int) -> Seen:
        samples = self._epoch.batch(step)
        inputs = to_tensors(samples.inputs, self._place)
        labels = None if samples.labels is None else torch.tensor(samples.labels, device=self._place)
        if labels is not None and not labels.is_floating_point():
            labels = labels.long()
        with self._mixed():
            student = self._student(inputs)
            with torch.no_grad():
                ask = None if self._teacher is None else partial(self._teacher, inputs)
                teacher = None if ask is None else self._remembered.of(step, ask)
        return Seen(student, teacher, labels, self._data.loss)

    def _mixed(self) -> torch.autocast:
        return torch.autocast(self._place.type, torch.bfloat16, enabled=self._is_mixed)

    def _evaluated(self, state: _State) -> Point:
        """The point where the training stands, added to its history."""
        figure = self._figure()
        loss = sum(state.losses) / len(state.losses) if state.losses else None
        point = Point(state.step, loss, figure)
        state.losses.clear()
        state.history.append(point)
        if self._constraint is None or self._constraint.settled(state.step):
            if state.best is None or figure > state.best_figure:
                state.best_figure, state.best_step, state.since_best = figure, state.step, 0
                state.best = {name: values.detach().cpu().clone() for name, values in self._module.state_dict().items()}
            else:
                state.since_best += 1
        return point

    def _figure(self) -> float:
        outputs = self._outputs(self._student, self._module)
        labels = self._data.validation.labels
        if labels is not None:
            figure = self._data.figure(outputs, labels) if self._data.figure else _accuracy(outputs, labels)
        elif self._teacher is None:
            raise InvalidInput("training: there are neither labels nor a teacher to judge by", "give one of them")
        else:
            if self._reference is None:
                self._reference = self._outputs(self._teacher, None)
            figure = float(fidelity({"output": outputs}, {"output": self._reference})["cosine"].mean())
        if not math.isfinite(figure):
            raise BuildFailed("the figure that training is judged by is not finite", "mend the task's figure")
        return float(figure)

    @torch.no_grad()
    def _outputs(self, tapped: Tapped, module: nn.Module | None) -> Array:
        """First outputs for the validation samples."""
        if module is not None:
            module.eval()
        parts = []
        for start in range(0, len(self._data.validation), max(self._recipe.batch, 256)):
            rows = slice(start, start + max(self._recipe.batch, 256))
            with working(), self._mixed():
                inputs = to_tensors((values[rows] for values in self._data.validation.inputs), self._place)
                parts.append(tapped(inputs).output.cpu().numpy())
        outputs = np.concatenate(parts)
        if not np.isfinite(outputs).all():
            raise BuildFailed("a module in training answers with NaN or infinity", "lower the recipe's learning_rate")
        return outputs

    def _normalised(self, figure: float) -> float:
        """The figure with running statistics estimated anew; where they are worse, the old ones are put back."""
        if not normalisations(self._module):
            return figure
        before = {name: values.detach().clone() for name, values in self._module.state_dict().items()}
        batches = self._epoch.of(self._steps // self._epoch.batches + 1)
        reestimate(self._module, (to_tensors(samples.inputs, self._place) for samples in batches))
        found = self._figure()
        if found >= figure:
            return found
        self._module.load_state_dict(before)
        return figure

    def _save(self, path: Path, state: _State) -> None:
        gpu = [torch.cuda.get_rng_state(self._place)] if self._place.type == "cuda" else []
        files.save(
            path,
            self._key,
            {
                "module": self._module.state_dict(),
                "losses": self._losses.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "constraint": None if self._constraint is None else self._constraint.state_dict(),
                "random": [torch.get_rng_state(), *gpu],
                "state": {name: value for name, value in vars(state).items() if name != "history"},
                "history": [(point.step, point.loss, point.figure) for point in state.history],
            },
        )

    def _loaded(self, path: Path | None) -> _State | None:
        found = None if path is None else files.load(path, self._key)
        if found is None:
            return None
        self._module.load_state_dict(found["module"])
        self._losses.load_state_dict(found["losses"])
        self._optimizer.load_state_dict(found["optimizer"])
        if self._constraint is not None:
            self._constraint.load_state_dict(found["constraint"])
        torch.set_rng_state(found["random"][0])
        if self._place.type == "cuda" and len(found["random"]) > 1:
            torch.cuda.set_rng_state(found["random"][1], self._place)
        return _State(**found["state"], history=[Point(*one) for one in found["history"]])


def _accuracy(outputs: Array, labels: Array) -> float:
    return float((outputs.argmax(-1) == labels).mean())
