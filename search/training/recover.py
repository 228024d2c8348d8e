"""Recovery: training that restores the quality of a changed module, shared by all techniques."""

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
from search.training.constraint import TrainingConstraint
from search.training.data import TrainingData
from search.training.epochs import Epochs
from search.training.learning_rate import learning_rate_factor
from search.training.losses import Loss, make_losses
from search.training.normalisation import normalisations, reestimate
from search.training.outputs import FeatureTaps, LossInputs, TeacherCache, move, to_tensors
from search.training.recipe import Recipe
from search.training.threads import threads

ProgressText = Callable[[str], None]
"""Receives a line of progress."""

KeepGoing = Callable[[int, float], bool]
"""Receives the step and the figure of each evaluation; training ends early if it returns False."""

Penalty = Callable[[nn.Module], Tensor]
"""Maps the student to a scalar that depends on its weights alone."""

Stop = Literal["finished", "patience", "ended"]
"""What ended a training: its length, the recipe's patience, or ``keep_going``."""


@dataclass(frozen=True)
class EvaluationPoint:
    """An evaluation during training."""

    step: int
    """Updates made before it."""
    loss: float | None
    """Mean training loss since the last evaluation; None before the first step."""
    figure: float
    """The figure on the validation samples."""


@dataclass(frozen=True)
class RecoveryResult:
    """Result of a training."""

    module: nn.Module
    """The student itself, in evaluation mode with its best weights."""
    figure: float
    """The figure of the best weights."""
    before: float
    """The figure before the first step."""
    best_step: int
    """The step of the best weights."""
    stopped: Stop
    history: tuple[EvaluationPoint, ...]

    @property
    def steps(self) -> int:
        """Number of updates made."""
        return self.history[-1].step


def uses_bfloat16(recipe: Recipe, device: torch.device) -> bool:
    """Returns whether training computes in mixed bfloat16; with ``auto`` on a GPU and on a CPU with AMX.

    Its range is that of float32, so gradients need no scaling.
    """
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16"
    return device.type != "cpu" or "amx_bf16" in instruction_sets()


def recover(
    student: nn.Module,
    teacher: nn.Module | None,
    data: TrainingData,
    recipe: Recipe,
    *,
    progress: ProgressText = lambda text: None,
    checkpoint: Path | None = None,
    keep_going: KeepGoing = lambda step, figure: True,
    constraint: TrainingConstraint | None = None,
    penalty: Penalty | None = None,
    teacher_cache: TeacherCache | None = None,
    device: str | None = None,
) -> RecoveryResult:
    """Trains the student by the recipe (minutes to hours) and restores the weights with the best validation figure. The
    initial weights count too, so the figure never falls.

    Uses AdamW (Loshchilov and Hutter, ICLR 2019). Re-estimates running statistics at the end unless that lowers the
    figure. With a ``constraint`` only states where it is final count as results, unless ``keep_going`` ends the
    training earlier. ``penalty`` is added to the loss of each step. ``teacher_cache`` may be shared by trainings with
    equal teacher, data, batch and seed. ``device`` defaults to the GPU if there is one, else the CPU.

    Deterministic by the recipe's seed: on a CPU, equal arguments and an equal number of threads give equal bits, also
    for an interrupted training that resumes from its ``checkpoint``. The checkpoint is written at each evaluation; the
    caller removes it. Pauses between batches while a measurement runs on this machine. Leaves the teacher unchanged.

    Raises :class:`InvalidInput` for a recipe that does not fit, :class:`BuildFailed` for a loss, an output or a figure
    that is not finite, :class:`OutOfMemory`, and :class:`StorageError` for an unusable checkpoint.
    """
    if student is teacher:
        raise InvalidInput("training: student and teacher are one module", "give a copy as the teacher")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gpus = [place.index or 0] if place.type == "cuda" else []
    modules = [module for module in (student, teacher) if module is not None]
    try:
        with torch.random.fork_rng(devices=gpus), threads(recipe.threads), ExitStack() as stack:
            torch.manual_seed(recipe.seed)
            for module in modules:
                move(module, place, torch.channels_last)
            losses = make_losses(recipe.losses)
            taps = [{name for loss in losses.values() for name in loss.taps[side]} for side in (0, 1)]
            run_student = stack.enter_context(FeatureTaps(student, sorted(taps[0]), "student"))
            run_teacher = None
            if teacher is not None:
                run_teacher = stack.enter_context(FeatureTaps(teacher.eval(), sorted(taps[1]), "teacher"))
            run = _Run(
                run_student, run_teacher, student, losses, data, recipe, constraint, penalty,
                None if taps[1] else teacher_cache, place,
            )  # fmt: skip
            return run.train(progress, checkpoint, keep_going)
    except torch.OutOfMemoryError:
        raise OutOfMemory("training ran out of GPU memory", "lower the recipe's batch") from None
    finally:
        for module in modules:
            move(module, torch.device("cpu"), torch.contiguous_format)


@dataclass
class _State:
    """State of a training besides that of the optimiser and the modules; field names are keys in checkpoints."""

    step: int
    best_step: int
    best_figure: float
    best: dict[str, Tensor] | None
    """State dict of the best weights; None before the constraint is final."""
    since_best: int
    """Evaluations since the best one."""
    history: list[EvaluationPoint]
    losses: list[float]
    """Losses of the steps since the last evaluation."""


class _Run:
    def __init__(
        self,
        student: FeatureTaps,
        teacher: FeatureTaps | None,
        module: nn.Module,
        losses: dict[str, Loss],
        data: TrainingData,
        recipe: Recipe,
        constraint: TrainingConstraint | None,
        penalty: Penalty | None,
        teacher_cache: TeacherCache | None,
        place: torch.device,
    ) -> None:
        self._student, self._teacher, self._module = student, teacher, module
        self._data, self._recipe, self._constraint, self._place = data, recipe, constraint, place
        self._penalty, self._teacher_cache = penalty, teacher_cache or TeacherCache(0)
        self._is_mixed = uses_bfloat16(recipe, place)
        self._losses = nn.ModuleDict(losses)
        self._weights = {name: loss.options.weight for name, loss in losses.items()}
        self._epoch = Epochs(data, recipe.batch, recipe.seed)
        self._steps = recipe.steps or recipe.epochs * self._epoch.batches
        self._every = recipe.evaluate_every or self._epoch.batches
        self._reference: Array | None = None
        module.eval()
        with torch.no_grad():
            batch = self._forward(0)
            for loss in losses.values():
                loss.to(place).prepare(batch)
        weights = [weight for weight in (*module.parameters(), *self._losses.parameters()) if weight.requires_grad]
        if not weights:
            raise InvalidInput("training: the student has no trainable weights", "give one with trainable weights")
        self._trainable = weights
        self._optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)

    @property
    def _key(self) -> str:
        """Digest that a checkpoint must match."""
        shapes = {name: list(values.shape) for name, values in self._module.state_dict().items()}
        return digest_of(
            [
                shapes, self._recipe.model_dump(mode="json"), self._data.digest, self._steps, self._teacher is None,
                None if self._constraint is None else self._constraint.key, self._penalty is None, self._is_mixed,
            ]
        )  # fmt: skip

    def train(self, progress: ProgressText, path: Path | None, keep_going: KeepGoing) -> RecoveryResult:
        """Trains to the end."""
        state = self._load(path) or self._start()
        stopped: Stop = "finished"
        while state.step < self._steps:
            if self._impatient(state):
                stopped = "patience"
                break
            self._step(state)
            if state.step % self._every and state.step < self._steps:
                continue
            point = self._evaluate(state)
            progress(f"training: step {point.step} of {self._steps}, loss {point.loss:.3g}, quality {point.figure:.4f}")
            if path is not None:
                self._save(path, state)
            if not keep_going(point.step, point.figure):
                stopped = "ended"
                break
        figure, best_step = state.best_figure, state.best_step
        if state.best is None:
            figure, best_step = state.history[-1].figure, state.step
        else:
            self._module.load_state_dict(state.best)
        figure = self._reestimate_statistics(figure)
        self._module.eval()
        return RecoveryResult(self._module, figure, state.history[0].figure, best_step, stopped, tuple(state.history))

    def _start(self) -> _State:
        state = _State(0, 0, -math.inf, None, 0, [], [])
        self._apply_constraint(0)
        self._evaluate(state)
        return state

    def _impatient(self, state: _State) -> bool:
        return self._recipe.patience is not None and state.since_best >= self._recipe.patience

    def _step(self, state: _State) -> None:
        """Makes one update."""
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
                nn.utils.clip_grad_norm_(self._trainable, recipe.gradient_clip)
            self._optimizer.step()
        state.step += 1
        state.losses.append(value)
        self._apply_constraint(state.step)

    def _apply_constraint(self, step: int) -> None:
        if self._constraint is not None:
            self._constraint.apply(step)

    def _loss(self, step: int) -> Tensor:
        batch = self._forward(step)
        with torch.autocast(self._place.type, enabled=False):
            terms = [self._weights[name] * loss(batch) for name, loss in self._losses.items()]
            if self._penalty is not None:
                terms.append(self._penalty(self._module))
        return torch.stack([term.reshape(()) for term in terms]).sum()

    def _forward(self, step: int) -> LossInputs:
        """Runs student and teacher on the batch of a step."""
        samples = self._epoch.batch(step)
        inputs = to_tensors(samples.inputs, self._place)
        labels = None if samples.labels is None else torch.tensor(samples.labels, device=self._place)
        if labels is not None and not labels.is_floating_point():
            labels = labels.long()
        with self._autocast():
            student = self._student(inputs)
            with torch.no_grad():
                run_teacher = None if self._teacher is None else partial(self._teacher, inputs)
                teacher = None if run_teacher is None else self._teacher_cache.of(step, run_teacher)
        return LossInputs(student, teacher, labels, self._data.loss)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._place.type, torch.bfloat16, enabled=self._is_mixed)

    def _evaluate(self, state: _State) -> EvaluationPoint:
        """Evaluates the current weights and adds the point to the history."""
        figure = self._figure()
        loss = sum(state.losses) / len(state.losses) if state.losses else None
        point = EvaluationPoint(state.step, loss, figure)
        state.losses.clear()
        state.history.append(point)
        if self._constraint is None or self._constraint.is_final(state.step):
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
            raise InvalidInput("training: there are neither labels nor a teacher to evaluate with", "give one of them")
        else:
            if self._reference is None:
                self._reference = self._outputs(self._teacher, None)
            figure = float(fidelity({"output": outputs}, {"output": self._reference})["cosine"].mean())
        if not math.isfinite(figure):
            raise BuildFailed("the task's validation figure is not finite", "correct the task's figure")
        return float(figure)

    @torch.no_grad()
    def _outputs(self, run: FeatureTaps, module: nn.Module | None) -> Array:
        """Computes the first outputs for the validation samples."""
        if module is not None:
            module.eval()
        parts = []
        for start in range(0, len(self._data.validation), max(self._recipe.batch, 256)):
            rows = slice(start, start + max(self._recipe.batch, 256))
            with working(), self._autocast():
                inputs = to_tensors((values[rows] for values in self._data.validation.inputs), self._place)
                parts.append(run(inputs).output.cpu().numpy())
        outputs = np.concatenate(parts)
        if not np.isfinite(outputs).all():
            raise BuildFailed("a module in training outputs NaN or infinity", "lower the recipe's learning_rate")
        return outputs

    def _reestimate_statistics(self, figure: float) -> float:
        """Re-estimates running statistics and returns the new figure; restores the old ones if it is worse."""
        if not normalisations(self._module):
            return figure
        before = {name: values.detach().clone() for name, values in self._module.state_dict().items()}
        batches = self._epoch.of(self._steps // self._epoch.batches + 1)
        reestimate(self._module, (to_tensors(samples.inputs, self._place) for samples in batches))
        new_figure = self._figure()
        if new_figure >= figure:
            return new_figure
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

    def _load(self, path: Path | None) -> _State | None:
        saved = None if path is None else files.load(path, self._key)
        if saved is None:
            return None
        self._module.load_state_dict(saved["module"])
        self._losses.load_state_dict(saved["losses"])
        self._optimizer.load_state_dict(saved["optimizer"])
        if self._constraint is not None:
            self._constraint.load_state_dict(saved["constraint"])
        torch.set_rng_state(saved["random"][0])
        if self._place.type == "cuda" and len(saved["random"]) > 1:
            torch.cuda.set_rng_state(saved["random"][1], self._place)
        return _State(**saved["state"], history=[EvaluationPoint(*point) for point in saved["history"]])


def _accuracy(outputs: Array, labels: Array) -> float:
    return float((outputs.argmax(-1) == labels).mean())
