"""Quality of a job's files on this machine: scores, intervals, and losses against the fp32 model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.measuring.outputs import run_samples
from evaluators.measuring.quality import Quality, Scores, check_finite, fidelity, run_all, summarise
from evaluators.measuring.statistics import difference_interval, mean_interval
from evaluators.runtimes import Array, Arrays, Session
from hwprofiles import Profile, digest_of
from hwprofiles.errors import BuildFailed
from hwprofiles.probe import usable_cores
from search.folders import partial_path
from search.tasks import Split
from search.trials.blended import Answers, estimate_intervals
from search.trials.local_runtime import local_runtime, local_version, stand_in
from search.trials.workspace import Workspace


@dataclass(frozen=True)
class Loss:
    """A metric of a candidate and of the fp32 model on the same samples."""

    value: float
    baseline: float
    difference_ci95: tuple[float, float] | None
    """95 % interval of their difference. For a metric that the task gives only as a finished figure: None if its
    ``evaluate`` does not make equal requests each time (see :mod:`search.trials.blended`)."""
    ci95: tuple[float, float] | None = None
    """95 % interval of the candidate's figure; None for a finished figure."""


class Scoring:
    """Runs files of one workspace on this machine, and scores their outputs. Used from one thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._task, self._context = workspace, workspace.task, workspace.context

    def quality(self, path: Path, split: Split, runtime: str | None = None, device: str | None = None) -> Quality:
        """Quality of a file on the whole split, which may take minutes.

        ``runtime`` None is the device's first; ``device`` (None: the job's first) sets the batch.
        """
        scores, figures = self._scores(path, split, runtime, device)
        return self._quality(scores, figures, split, stand_in(self._context.profile_of(device), runtime))

    def outputs(
        self, path: Path, samples: Arrays, runtime: str | None = None, device: str | None = None
    ) -> dict[str, Array]:
        """Returns a file's outputs for samples on this machine, computed as in :meth:`quality`."""
        profile = self._context.profile_of(device)
        session = local_runtime(profile, runtime).open(path)
        try:
            return run_samples(session, samples, profile.batch)
        finally:
            session.close()

    def quality_of(self, outputs: Arrays, split: Split, device: str | None = None) -> Quality:
        """Quality from outputs of another machine for all samples of the split.

        Raises :class:`BuildFailed` for outputs that are not the model's, and if the task asks for other samples too.
        """
        inputs = self._task.inputs(split)
        reference = self._reference(split, self._context.profile_of(device), None)
        if {n: v.shape for n, v in outputs.items()} != {n: v.shape for n, v in reference.items()}:
            raise BuildFailed("the outputs do not belong to this model and these samples")

        def predict(samples: Arrays) -> dict[str, Array]:
            if samples.keys() != inputs.keys() or not all(np.array_equal(samples[n], inputs[n]) for n in inputs):
                raise BuildFailed("the task asks for outputs of samples that are not in the split")
            return dict(outputs)

        figures = self._finished_figures(predict, split)
        return self._quality(self._score(outputs, reference, split), figures, split)

    def losses(
        self, path: Path, split: Split, runtime: str | None = None, device: str | None = None
    ) -> dict[str, Loss]:
        """Losses by metric against the fp32 model on the same samples, with paired intervals."""
        ours: Answers = []
        theirs: Answers = []
        scores, figures = self._scores(path, split, runtime, device, ours)
        fp32_scores, fp32_figures = self._scores(self._workspace.baseline_path, split, None, device, theirs)
        clusters = self._task.clusters(split)
        finished = {name: (value, fp32_figures[name]) for name, value in figures.items() if name not in scores}
        intervals = (
            estimate_intervals(lambda predict: self._task.evaluate(predict, split), ours, theirs, finished)
            if finished
            else {}
        )
        sampled = {
            name: Loss(
                float(values.mean()), float(fp32_scores[name].mean()),
                difference_interval(values, fp32_scores[name], clusters), mean_interval(values, clusters),
            )
            for name, values in scores.items()
        }  # fmt: skip
        return {**{name: Loss(*pair, intervals.get(name)) for name, pair in finished.items()}, **sampled}

    def _scores(
        self, path: Path, split: Split, runtime: str | None, device: str | None, answers: Answers | None = None
    ) -> tuple[Scores, dict[str, float]]:
        """Figures by sample, and the task's finished figures; outputs for the latter are added to ``answers``."""
        inputs, profile = self._task.inputs(split), self._context.profile_of(device)
        session = local_runtime(profile, runtime).open(path)

        def predict(samples: Arrays) -> dict[str, Array]:
            own = samples.keys() == inputs.keys() and all(samples[name] is inputs[name] for name in inputs)
            answer = outputs if own else _run(session, samples, profile)
            if answers is not None:
                answers.append(answer)
            return answer

        try:
            outputs = _run(session, inputs, profile)
            figures = self._finished_figures(predict, split)
        finally:
            session.close()
        cached = outputs if path == self._workspace.baseline_path and runtime is None else None
        return self._score(outputs, self._reference(split, profile, cached), split), figures

    def _finished_figures(self, predict: Callable[[Arrays], dict[str, Array]], split: Split) -> dict[str, float]:
        """Returns the metrics that the task gives as one figure each; raises :class:`BuildFailed` for NaN and
        infinity."""
        figures = {name: float(value) for name, value in self._task.evaluate(predict, split).items()}
        check_finite((name, np.array(value)) for name, value in figures.items())
        return figures

    def _score(self, outputs: Arrays, reference: Arrays, split: Split) -> Scores:
        """Returns the figures by sample: likeness to the fp32 model, and the task's own."""
        return {**fidelity(outputs, reference), **self._task.score(outputs, split)}

    def _quality(
        self, scores: Scores, figures: Mapping[str, float], split: Split, replacement: str | None = None
    ) -> Quality:
        summary = summarise(scores, self._task.clusters(split))
        return Quality({**figures, **summary.metrics}, summary.intervals, replacement)

    def _reference(self, split: Split, profile: Profile, outputs: dict[str, Array] | None) -> dict[str, Array]:
        """Returns the fp32 model's outputs on a split, cached for all candidates; ``outputs`` are stored if they are
        given."""
        runtime = local_runtime(profile)
        executed = [runtime.name, runtime.hint, local_version(profile)]
        key = digest_of([self._workspace.digest, split, executed, profile.batch])
        path = self._workspace.cache / "references" / f"{key}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if outputs is None:
            session = runtime.open(self._workspace.baseline_path)
            try:
                outputs = _run(session, self._task.inputs(split), profile)
            finally:
                session.close()
        # Text is not compared.
        outputs = {name: values for name, values in outputs.items() if not values.dtype.hasobject}
        partial = partial_path(path)
        np.savez(partial, allow_pickle=False, **outputs)
        partial.replace(path)
        return outputs


def _run(session: Session, samples: Arrays, profile: Profile) -> dict[str, Array]:
    """Returns the outputs for all samples, in the profile's batches, on all cores."""
    return run_all(session, samples, batch=profile.batch, workers=max(1, len(usable_cores())))
