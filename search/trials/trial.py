"""One candidate's way: build, then quality from the exported file, latency and memory on every device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluators.devices.deadline import NEVER, Deadline
from evaluators.devices.device import Device
from evaluators.devices.evaluators import SizeEvaluator
from evaluators.processes.sandbox import Sandbox
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, StageTimeout, TrainingStopped, is_passing
from search.budget.allowance import Allowance
from search.devices.lookup import open_device
from search.fronts.metrics import FAILURES, SIMULATED_FORMATS, joined
from search.job.devices import JobDevice
from search.prediction.layer_groups import groups_of
from search.prediction.modelled import invent_metrics
from search.space.layer_widths import scales_of
from search.states import TrialState
from search.techniques import trains
from search.training.asha import TRAINING, Figures
from search.trials import sandboxed
from search.trials.activity import Notice
from search.trials.context import JobContext
from search.trials.device_evaluation import DeviceEvaluator, DeviceResult, Known
from search.trials.modelled_evaluation import ModelledDeviceEvaluator
from search.trials.module_variants import Trained
from search.trials.workspace import Built

MEASURING_S = "measuring_s"
"""The key of a stored measurement that says how long a device worked on the candidate."""


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate, as the store keeps it."""

    state: TrialState
    reason: str | None
    metrics: dict[str, Any]
    artifact_sha256: str | None
    measurement: dict[str, Any] | None
    wall_s: float
    others: list[dict[str, Any]] = field(default_factory=list)
    """The measurements of the job's further devices."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**data, "state": TrialState(data["state"])})


class TrialRunner:
    """Works on one candidate at a time, in sandboxes that outlive it and within an ``allowance``. Owned by one process,
    closed by its owner."""

    def __init__(
        self,
        order: JobContext,
        facts: Mapping[str, Any],
        folder: Path,
        files: Path | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        """``folder`` is the job's; candidates' files go to ``files``, by default there too."""
        self._order, self._facts, self._folder, self._files = order, facts, folder, files or folder
        self._job = order.job
        self._limits = self._job.limits
        self._builder = Sandbox(memory_bytes=self._limits.memory_bytes, log=folder / "builder.log", progress=self._say)
        self._notice: Notice | None = None
        self._benches = [self._bench(device, facts, allowance) for device in order.devices]
        self._ends = NEVER if allowance is None else allowance.ends
        self._clock = self._ends.clock

    def _bench(self, device: JobDevice, facts: Mapping[str, Any], allowance: Allowance | None) -> DeviceEvaluator:
        kind = ModelledDeviceEvaluator if device.profile.modelled else DeviceEvaluator
        return kind(device, self._order, facts, self._builder, self._opened, allowance)

    def run(
        self,
        decisions: Mapping[str, str],
        digest: str,
        earlier: Sequence[Figures] = (),
        ends: Deadline | None = None,
    ) -> Outcome:
        """Never raises for what is the candidate's own fault; that becomes its state. Raises what is the moment's
        (:func:`hwprofiles.errors.is_passing`): nothing can be known of the candidate now. So it is where the time
        ``ends`` before the work does (None: with the allowance). ``earlier`` are the figures of trainings that it may
        be compared with."""
        self._hurry(ends or self._ends)
        start = self._clock()
        if self._order.profile.invented:
            metrics = invent_metrics(self._order.devices, groups_of(self._facts), decisions, digest, scales_of(self._facts))
            return Outcome(TrialState.DONE, None, metrics, None, None, round(self._clock() - start, 3))
        with Notice(self._folder, digest) as self._notice:
            try:
                outcome = self._run(decisions, digest, earlier, start)
            finally:
                self._notice = None
        if outcome.state is not TrialState.DONE or FAILURES in outcome.metrics:
            self._ends.check()  # who was stopped is not told from who failed
        return outcome

    def _hurry(self, ends: Deadline) -> None:
        self._ends = ends
        for bench in self._benches:
            bench.allowance = replace(bench.allowance, ends=ends)

    def _say(self, text: str) -> None:
        if self._notice is not None:
            self._notice.say(text)

    def _run(self, decisions: Mapping[str, str], digest: str, earlier: Sequence[Figures], start: float) -> Outcome:
        sha256: str | None = None
        trained: dict[str, Any] = {}
        try:
            trained = self._trained(decisions, earlier)
            if trained and trained[TRAINING]["stopped"]:
                raise TrainingStopped(
                    f"after {len(trained[TRAINING]['figures']) - 1} evaluations its training was behind others'",
                    "leave halving out of the recipe to train all to their end",
                )
            built = self._built(decisions, digest)
            sha256 = built.sha256
            size = {**trained, **built.metrics}
            size |= SizeEvaluator(self._job.wants("sparse_size_bytes")).evaluate(built.path).metrics
        except CandidateError as error:
            state, reason = _failure(error)
            return Outcome(state, reason, trained, sha256, None, round(self._clock() - start, 3))
        found, failures = self._on_each(built.path, decisions, timed=SIMULATED_FORMATS not in built.metrics)
        if not found:
            state, reason = next(iter(failures.values()))
            return Outcome(state, reason, trained, sha256, None, round(self._clock() - start, 3))
        first, *others = [found[bench.label].measurement if bench.label in found else None for bench in self._benches]
        return Outcome(
            TrialState.DONE, None, self._joined(size, found, failures), sha256, first,
            round(self._clock() - start, 3), [record for record in others if record is not None],
        )  # fmt: skip

    def _on_each(
        self, path: Path, decisions: Mapping[str, str], *, timed: bool
    ) -> tuple[dict[str, DeviceResult], dict[str, tuple[TrialState, str]]]:
        """What every device says of a file, and why those say nothing that do not; its quality alone where it is not to
        be ``timed``."""
        found: dict[str, DeviceResult] = {}
        failures: dict[str, tuple[TrialState, str]] = {}
        known: Known = {}
        for bench in self._benches:
            self._say(f"measuring on {bench.label}" if len(self._benches) > 1 else "measuring")
            begun = self._clock()
            try:
                found[bench.label] = bench.evaluate(path, decisions, known, timed=timed)
            except CandidateError as error:
                failures[bench.label] = _failure(error)
                continue
            if (record := found[bench.label].measurement) is not None:
                record[MEASURING_S] = round(self._clock() - begun, 3)
        return found, failures

    def _joined(
        self,
        shared: dict[str, Any],
        found: Mapping[str, DeviceResult],
        failures: Mapping[str, tuple[TrialState, str]],
    ) -> dict[str, Any]:
        labels = [bench.label for bench in self._benches]
        if len(labels) == 1:
            return {**shared, **found[labels[0]].metrics}
        why = {label: {"state": state.value, "reason": reason} for label, (state, reason) in failures.items()}
        return {**shared, **joined(labels, {label: one.metrics for label, one in found.items()}, why)}

    def _opened(self, profile: Profile) -> Device:
        return open_device(profile, self._order.link)

    def build(self, decisions: Mapping[str, str], digest: str) -> Built:
        """The candidate's file, at its :meth:`path`."""
        try:
            self._trained(decisions)
            return self._built(decisions, digest)
        except StageTimeout:
            self._ends.check()  # who was stopped is not told from who failed
            raise

    def _trained(self, decisions: Mapping[str, str], earlier: Sequence[Figures] = ()) -> dict[str, Any]:
        """What the training of a candidate's module is called in its metrics; nothing where there is none."""
        if not trains(self._job.space or ()):
            return {}
        self._say("training")
        found: Trained | None = self._builder.call(
            sandboxed.train,
            self._order,
            decisions,
            earlier,
            stage="training",
            limit_s=self._ends.within(self._limits.training_s),
        )
        return {} if found is None else {TRAINING: {"figures": list(found.figures), "stopped": found.stopped}}

    def _built(self, decisions: Mapping[str, str], digest: str) -> Built:
        self._say("building")
        path = self.path(digest)
        return self._builder.call(
            sandboxed.build,
            self._order,
            decisions,
            path,
            stage="building",
            limit_s=self._ends.within(self._limits.building_s),
        )

    def path(self, digest: str) -> Path:
        """Where a candidate's file lies."""
        return self._files / f"{digest}.onnx"

    def bench(self, label: str | None = None) -> DeviceEvaluator:
        """The device with this label; None stands for the job's first."""
        return next((bench for bench in self._benches if bench.label == label), self._benches[0])

    def close(self) -> None:
        """Ends the sandboxes."""
        self._builder.close()
        for bench in self._benches:
            bench.close()


def _failure(error: CandidateError) -> tuple[TrialState, str]:
    """What a candidate becomes by its own fault; raises what is the moment's."""
    if is_passing(error):
        raise error
    return TrialState(error.state), error.message
