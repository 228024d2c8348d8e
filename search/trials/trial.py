"""The work on one candidate: build, then quality of the exported file, latency and memory on every device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluators.devices.deadline import NEVER, Deadline
from evaluators.devices.device import Device
from evaluators.processes.sandbox import Sandbox
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, StageTimeout, TrainingStopped, is_transient
from search.budget.allowance import Allowance
from search.devices.lookup import open_device
from search.fronts.metrics import FAILURES, FILTER, SIMULATED_FORMATS, merge_devices
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.outcome import TrialOutcome
from search.prediction.modelled import ModelledJob, invent_metrics
from search.states import TrialState
from search.techniques import trains
from search.training.asha import TRAINING, Figures
from search.trials import sandboxed
from search.trials.activity import Notice
from search.trials.candidate_filter import CandidateFilter, Judged
from search.trials.context import JobContext
from search.trials.device_evaluation import DeviceEvaluator, DeviceResult, Qualities
from search.trials.earlier import Earlier
from search.trials.invented import invent_file_metrics
from search.trials.modelled_evaluation import ModelledDeviceEvaluator
from search.trials.module_variants import TrainingResult
from search.trials.workspace import Built

MEASURING_S = "measuring_s"
"""Key of a stored measurement: how long a device worked on the candidate."""


class TrialRunner:
    """Builds and evaluates one candidate at a time, within an ``allowance``.

    Its sandboxes are reused for all candidates. Owned by one process, closed by its owner.
    """

    def __init__(
        self,
        context: JobContext,
        facts: JobFacts,
        folder: Path,
        files: Path | None = None,
        allowance: Allowance | None = None,
        notice: Callable[[Path, str], Notice] = Notice,
    ) -> None:
        """``folder`` is the job's; candidates' files go to ``files``, by default the same folder. ``notice`` makes the
        notice of a candidate, from the job's folder and the candidate's digest."""
        self._context, self._facts = context, facts
        self._folder, self._files = folder, files or folder
        self._job = context.job
        self._limits = self._job.limits
        self._filter = CandidateFilter(self._job.filters)
        self._builder = Sandbox(memory_bytes=self._limits.memory_bytes, log=folder / "builder.log", progress=self._say)
        self._new_notice = notice
        self._notice: Notice | None = None
        self._evaluators = [self._new_evaluator(device, facts, allowance) for device in context.devices]
        self._ends = NEVER if allowance is None else allowance.ends
        self._clock = self._ends.clock

    def _new_evaluator(self, device: JobDevice, facts: JobFacts, allowance: Allowance | None) -> DeviceEvaluator:
        arguments = (device, self._context, facts, self._builder, self._open_device, allowance)
        modelled = device.profile.modelled
        return ModelledDeviceEvaluator(self._layers, *arguments) if modelled else DeviceEvaluator(*arguments)

    @cached_property
    def _layers(self) -> ModelledJob:
        return ModelledJob(self._facts.groups, self._context.prepared_space, self._facts.layer_changes)

    def run(
        self,
        decisions: Mapping[str, str],
        digest: str,
        earlier: Earlier = Earlier(),  # noqa: B008 - frozen
        ends: Deadline | None = None,
    ) -> TrialOutcome:
        """Builds and evaluates a candidate, in minutes to hours.

        Failures of the candidate become its state. Transient failures (:func:`hwprofiles.errors.is_transient`) are
        raised, also if the time ``ends`` first (None: with the allowance). ``earlier`` are the results of other
        candidates that it is compared with.
        """
        self._set_end(ends or self._ends)
        start = self._clock()
        if self._context.profile.is_dry_run:
            return replace(self._invent(decisions, digest, earlier), wall_s=round(self._clock() - start, 3))
        with self._new_notice(self._folder, digest) as self._notice:
            try:
                outcome = self._run(decisions, digest, earlier)
            finally:
                self._notice = None
        outcome = replace(outcome, wall_s=round(self._clock() - start, 3))
        if outcome.state is not TrialState.DONE or FAILURES in outcome.metrics:
            self._ends.check()  # the failure may be the job's time limit
        return outcome

    def _invent(self, decisions: Mapping[str, str], digest: str, earlier: Earlier) -> TrialOutcome:
        """Makes the outcome up, of a dry run."""
        judged = self._filter.invent(self._layers, decisions) if self._filter else None
        known, refused = self._judge(judged, earlier)
        if refused is not None:
            return refused
        metrics = invent_metrics(self._context.devices, self._layers, decisions, digest)
        fp32 = digest == self._context.prepared_space.baseline().digest
        metrics |= invent_file_metrics(self._job, metrics, None if fp32 else digest)
        return TrialOutcome(TrialState.DONE, metrics=metrics | known)

    def _judge(self, scored: Judged | None, earlier: Earlier) -> tuple[dict[str, Any], TrialOutcome | None]:
        """Returns the metrics of what the job's filters made of a candidate, and its outcome if it is refused."""
        if scored is None:
            return {}, None
        judged = self._filter.judge(scored, earlier.judged)
        known = {FILTER: asdict(judged)}
        return known, TrialOutcome(TrialState.STOPPED, judged.refused, known) if judged.refused else None

    def _set_end(self, ends: Deadline) -> None:
        self._ends = ends
        for evaluator in self._evaluators:
            evaluator.allowance = replace(evaluator.allowance, ends=ends)

    def _say(self, text: str) -> None:
        if self._notice is not None:
            self._notice.say(text)

    def _run(self, decisions: Mapping[str, str], digest: str, earlier: Earlier) -> TrialOutcome:
        sha256: str | None = None
        known: dict[str, Any] = {}
        try:
            known, refused = self._judge(self._score_module(decisions), earlier)
            if refused is not None:
                return refused
            trained = self._train_module(decisions, earlier.trainings)
            known |= trained
            if trained and trained[TRAINING]["stopped"]:
                raise TrainingStopped(
                    f"after {len(trained[TRAINING]['figures']) - 1} evaluations its training was behind others'",
                    "leave halving out of the recipe to train all to their end",
                )
            built = self._build_file(decisions, digest)
            sha256 = built.sha256
        except CandidateError as error:
            state, reason = _failure(error)
            return TrialOutcome(state, reason, known, sha256)
        results, failures = self._evaluate(built.path, decisions, timed=SIMULATED_FORMATS not in built.metrics)
        if not results:
            state, reason = next(iter(failures.values()))
            return TrialOutcome(state, reason, known, sha256)
        labels = [evaluator.label for evaluator in self._evaluators]
        first, *further = [results[label].measurement if label in results else None for label in labels]
        return TrialOutcome(
            TrialState.DONE, None, self._merge({**known, **built.metrics}, results, failures), sha256, first,
            tuple(record for record in further if record is not None),
        )  # fmt: skip

    def _evaluate(
        self, path: Path, decisions: Mapping[str, str], *, timed: bool
    ) -> tuple[dict[str, DeviceResult], dict[str, tuple[TrialState, str]]]:
        """Evaluates a file on every device (only its quality unless ``timed``); results and failures by device."""
        results: dict[str, DeviceResult] = {}
        failures: dict[str, tuple[TrialState, str]] = {}
        qualities: Qualities = {}
        for evaluator in self._evaluators:
            self._say(f"measuring on {evaluator.label}" if len(self._evaluators) > 1 else "measuring")
            begun = self._clock()
            try:
                results[evaluator.label] = evaluator.evaluate(path, decisions, qualities, timed=timed)
            except CandidateError as error:
                failures[evaluator.label] = _failure(error)
                continue
            if (record := results[evaluator.label].measurement) is not None:
                record[MEASURING_S] = round(self._clock() - begun, 3)
        return results, failures

    def _merge(
        self,
        shared: dict[str, Any],
        results: Mapping[str, DeviceResult],
        failures: Mapping[str, tuple[TrialState, str]],
    ) -> dict[str, Any]:
        labels = [evaluator.label for evaluator in self._evaluators]
        if len(labels) == 1:
            return {**shared, **results[labels[0]].metrics}
        why = {label: {"state": state.value, "reason": reason} for label, (state, reason) in failures.items()}
        return {**shared, **merge_devices(labels, {label: result.metrics for label, result in results.items()}, why)}

    def _open_device(self, profile: Profile) -> Device:
        return open_device(profile, self._context.link)

    def build(self, decisions: Mapping[str, str], digest: str) -> Built:
        """Trains and builds a candidate's file, at its :meth:`path`."""
        try:
            self._train_module(decisions)
            return self._build_file(decisions, digest)
        except StageTimeout:
            self._ends.check()  # the failure may be the job's time limit
            raise

    def _score_module(self, decisions: Mapping[str, str]) -> Judged | None:
        """Scores the candidate's module by the job's filters, in the builder sandbox; None without filters, and if the
        module is unchanged."""
        if not self._filter:
            return None
        self._say("filtering")
        limit_s = self._ends.within(self._limits.training_s)
        judged: Judged | None = self._builder.call(
            sandboxed.score, self._context, decisions, stage="training", limit_s=limit_s
        )
        return judged

    def _train_module(self, decisions: Mapping[str, str], earlier: Sequence[Figures] = ()) -> dict[str, Any]:
        """Trains the candidate's module in the builder sandbox (up to ``limits.training_s``), and returns its metrics.

        They are ``{"training": {"figures": […], "stopped": …}}``, empty if no technique trains.
        """
        if not trains(self._job.space or ()):
            return {}
        self._say("training")
        result: TrainingResult | None = self._builder.call(
            sandboxed.train,
            self._context,
            decisions,
            earlier,
            stage="training",
            limit_s=self._ends.within(self._limits.training_s),
        )
        return {} if result is None else {TRAINING: {"figures": list(result.figures), "stopped": result.stopped}}

    def _build_file(self, decisions: Mapping[str, str], digest: str) -> Built:
        self._say("building")
        path = self.path(digest)
        return self._builder.call(
            sandboxed.build,
            self._context,
            decisions,
            path,
            stage="building",
            limit_s=self._ends.within(self._limits.building_s),
        )

    def path(self, digest: str) -> Path:
        """Returns the path of a candidate's file."""
        return self._files / f"{digest}.onnx"

    def evaluator(self, label: str | None = None) -> DeviceEvaluator:
        """Returns the evaluator of the device with this label; None stands for the job's first."""
        return next((evaluator for evaluator in self._evaluators if evaluator.label == label), self._evaluators[0])

    def close(self) -> None:
        """Ends the sandboxes."""
        self._builder.close()
        for evaluator in self._evaluators:
            evaluator.close()


def _failure(error: CandidateError) -> tuple[TrialState, str]:
    """Returns the state and reason of a failed candidate; raises a transient error."""
    if is_transient(error):
        raise error
    return TrialState(error.state), error.message
