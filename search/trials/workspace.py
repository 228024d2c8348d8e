"""What turns a candidate into a file and a file into quality: the part of a job that runs in sandboxes.

A workspace is opened once a process from a :class:`JobContext`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from evaluators.devices.deadline import NEVER
from evaluators.devices.device import Device
from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.cleanup import prepared
from evaluators.graphs.layer_groups import LayerGroup, layer_groups, under_first_names
from evaluators.graphs.model import load_model, save_model
from evaluators.graphs.quantised import quantised_layers
from evaluators.graphs.run_shapes import shapes_in_run
from evaluators.graphs.widening import narrow_types, widening_note
from evaluators.measuring.outputs import answered
from evaluators.measuring.quality import Quality, Scores, check_finite, fidelity, run_all, summarised
from evaluators.measuring.statistics import difference_interval, mean_interval
from evaluators.probing.capability import Capability
from evaluators.probing.layer_table import LayerTable
from evaluators.processes.freed_memory import give_large_blocks_back
from evaluators.processes.locks import working
from evaluators.processes.sandbox_child import report
from evaluators.runtimes import Array, Arrays
from hwprofiles import Precision, Profile, digest_of, digest_of_file
from hwprofiles.errors import BuildFailed, InvalidInput
from hwprofiles.probe import usable_cores
from search.budget.stopwatch import Stopwatch
from search.folders import cache_folder, partial_path
from search.fronts.metrics import ARCHITECTURE, SIMULATED_FORMATS
from search.job.devices import JobDevice
from search.json_cache import StoredAnswers
from search.options import validate_options
from search.space.candidate import RUNTIME, Decision, Space, runtime_decision
from search.space.coverage import COVERAGE, coverage
from search.space.layer_widths import LayerScale
from search.space.merging import union
from search.space.promising import promising_settings
from search.tasks import BuiltInTask, Split, Task, open_task
from search.tasks.drawing import drawn
from search.tasks.origin import origin
from search.techniques import FOOTPRINT, TECHNIQUES, Draft, ModuleTechnique, Subject, Technique
from search.techniques.precision import PrecisionTechnique
from search.techniques.trained_formats import FORMATS, FormatsTechnique, is_executable
from search.trials.blended import Answers, blended_intervals
from search.trials.context import JobContext
from search.trials.local_runtime import local_runtime, stand_in, local_version
from search.trials.module_variants import Structures

FORMAT = 2
"""Part of every digest of built files; raised when building changes what a candidate means."""


CALIBRATION_BATCH = 8

LARGE_MODEL_BYTES = 128 * 2**20
"""Of a larger model no process keeps what it is not working on."""

BIT_OPERATIONS = "bit_operations"

NOTHING_LEFT = "no float layer is left to quantise: give the float32 model to search in it"


@dataclass(frozen=True)
class Built:
    """A candidate's file."""

    path: Path
    sha256: str
    size_bytes: int
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What is known of it without running it: ``bit_operations`` where the job wants them, and the ``formats`` of its
    layers where they were trained in them, ``simulated_formats`` if no runtime computes in all of these, and the
    ``architecture`` where one of an elastic network was searched for."""


@dataclass(frozen=True)
class Loss:
    """A metric of a candidate and of the fp32 model on the same samples, the 95 % interval of their difference, and
    that of the candidate's figure alone; a metric that the task gives only as a finished figure never has the latter,
    and the former where its ``evaluate`` asks for the same each time (see :mod:`search.trials.blended`)."""

    value: float
    baseline: float
    difference_ci95: tuple[float, float] | None
    ci95: tuple[float, float] | None = None


class Workspace:
    """Task, fp32 model, techniques and data of one job in one process. Used from one thread."""

    def __init__(self, order: JobContext) -> None:
        give_large_blocks_back()
        self.order, self.job, self.profile = order, order.job, order.profile
        self.cache = cache_folder()
        self.answers: list[dict[str, Any]] = []
        """What the devices answered when they were asked for the space; of several, with the ``device``."""
        self.passing: dict[str, Any] = {}
        """What they answered on a busy machine."""
        self.formats: dict[str, dict[str, Any]] = json.loads(order.formats)
        """The number formats of static int8 by family of runtimes, chosen when the devices were asked."""
        self._export_notes: list[str] = []
        self.deadline = NEVER
        """When the devices are asked no more; set before the techniques are first needed."""
        self.stopwatch = Stopwatch()
        """What asking them takes."""
        self._samples: dict[int, dict[str, Array]] = {}
        """One inference's input by its batch."""
        self._sizes: dict[int, int] = {}
        """How many samples such an inference takes."""
        self.task: Task = open_task(self.job.task.name, self.job.task.options, Path(order.folder))
        self._origin = "" if isinstance(self.task, BuiltInTask) else self._its_origin()
        if order.subject not in (None, self.digest):
            raise InvalidInput(
                "the task gives another model or other data than when the job was prepared",
                "seed everything that make_task draws at random, or start the job anew if a file has changed",
            )

    def _its_origin(self) -> str:
        return origin(self.job.task.name, self.job.task.options, Path(self.order.folder))

    @cached_property
    def digest(self) -> str:
        """Names the fp32 model, by all of its bytes, and the data and figures that candidates are judged by."""
        trained = not self.profile.invented
        return digest_of(["model", FORMAT, onnx.__version__, self.model_sha256, self.data_digest, trained])

    @property
    def data_digest(self) -> str:
        """Names samples, labels, and what judges the outputs."""
        return digest_of([self.task.data_digest, self._origin])

    @property
    def digests(self) -> dict[str, str]:
        """What the job rests on, by name: the fp32 model's file, the data, and the task that gave both."""
        task = digest_of([self.task.digest, self._origin])
        return {"model": self.model_sha256, "data": self.data_digest, "task": task}

    @cached_property
    def model_sha256(self) -> str:
        """Of the fp32 model's file, which is made on first use.

        Processes that work on a prepared job find it by the task's digest. What prepares a job exports a user's own
        model again: only that shows what no digest of it could know, a file that it reads or a package that it calls.
        """
        trained = not self.profile.invented
        key = digest_of(["export", FORMAT, onnx.__version__, self.task.digest, self._origin, trained])
        exports = StoredAnswers(self.cache / "exports")
        if self.order.subject is not None or isinstance(self.task, BuiltInTask):
            known: str | None = exports.get(key)
            if known is not None and self._model_path(known).exists():
                return known
        found = self._exported()
        exports[key] = found
        return found

    def _exported(self) -> str:
        """Exports the model and puts it in its place; its name there."""
        folder = self.cache / "models"
        folder.mkdir(parents=True, exist_ok=True)
        source, clean = (folder / f".{os.getpid()}.{kind}.onnx" for kind in ("source", "clean"))
        try:
            report("exporting the model to ONNX")
            self.task.export(source, trained=not self.profile.invented)
            model = load_model(source)
            narrow = narrow_types(model)
            self._export_notes = [widening_note(narrow)] if narrow else []
            save_model(prepared(model, consumed=True), clean)
            del model
            sha256 = digest_of_file(clean)
            clean.replace(self._model_path(sha256))
        finally:
            source.unlink(missing_ok=True)
            clean.unlink(missing_ok=True)
        return sha256

    def _model_path(self, sha256: str) -> Path:
        return self.cache / "models" / f"{sha256}.onnx"

    @property
    def baseline_path(self) -> Path:
        """The fp32 model that every candidate starts from."""
        return self._model_path(self.model_sha256)

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The fp32 model, exported and cleaned once for all jobs that share it."""
        return load_model(self.baseline_path)

    def notes(self) -> list[str]:
        """What the job's owner should know of how the model was read, and of what is measured."""
        self.model  # noqa: B018 - its export may have something to say
        found = [*self.task.notes, *self._export_notes]
        count = min(map(len, self.task.inputs("validation").values()))
        for batch in dict.fromkeys(device.profile.batch for device in self.order.devices):
            if batch > count:
                found.append(f"the validation split has {count} samples: an inference of {batch} repeats some of them")
        if (size := self._inference_size(1)) > 1 == self.profile.batch:
            found.append(f"the model takes {size} samples in one inference: latencies are of {size}")
        if quantised := quantised_layers(self.model):
            left = sum(len(group.nodes) for group in self.groups)
            found.append(
                f"{quantised} layers of the model are quantised already and stay as they are; "
                + (f"float layers left to decide: {left}" if left else NOTHING_LEFT)
            )
        return found

    @property
    def sample(self) -> dict[str, Array]:
        """One inference's input: the first validation samples, as many as the device's batch."""
        return self.sample_of(self.profile)

    def sample_of(self, profile: Profile) -> dict[str, Array]:
        """:attr:`sample` for a device's batch. Where the split has fewer samples, they are repeated: an inference of
        another batch would be another measurement.

        Raises :class:`InvalidInput` for a batch that the model cannot take.
        """
        if profile.batch not in self._samples:
            rows = self._validation_rows(profile.batch)
            session = local_runtime(self.profile).open(self.baseline_path)
            try:
                size = session.samples_at_once(rows, profile.batch)
                if size != profile.batch != 1:
                    raise InvalidInput(
                        f"the model takes {size} samples in one inference, and the device is to be given "
                        f"{profile.batch}",
                        f"write batch: {size} at the device"
                        + ("; scalar inputs must be equal in all samples of a batch" if size == 1 else ""),
                    )
                self._samples[profile.batch] = session.batches(rows, profile.batch)[0]
                self._sizes[profile.batch] = size
            finally:
                session.close()
        return self._samples[profile.batch]

    def _inference_size(self, batch: int) -> int:
        """How many samples one inference takes where a device is to be given so many."""
        self.sample_of(replace(self.profile, batch=batch))
        return self._sizes[batch]

    def _validation_rows(self, count: int) -> dict[str, Array]:
        """The first validation samples; repeated from the first on where there are fewer."""
        given = self.task.inputs("validation")
        rows = np.arange(count) % min(map(len, given.values()))
        return {name: values[rows] for name, values in given.items()}

    def _calibration_batches(self, samples: int) -> list[dict[str, Array]]:
        given = self.task.inputs("calibration")
        chosen = drawn(min(map(len, given.values())), samples)
        session = local_runtime(self.profile).open(self.baseline_path)
        try:
            rows = {name: values[chosen] for name, values in given.items()}
            return session.batches(rows, max(self.profile.batch, CALIBRATION_BATCH))
        finally:
            session.close()

    @cached_property
    def groups(self) -> tuple[LayerGroup, ...]:
        """The layers that share a decision; their figures are for one sample, whatever the devices' batches."""
        return self._groups_of(self.model)

    def _groups_of(self, model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
        sample = self.sample_of(replace(self.profile, batch=1))
        return layer_groups(model, shapes=shapes_in_run(model, sample))

    def _changed_groups(self, model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
        return under_first_names(self._groups_of(model), self.groups)

    @cached_property
    def structures(self) -> Structures:
        """The modules that candidates are exported from."""
        changing = {name: one for name, one in self.techniques.items() if isinstance(one, ModuleTechnique)}
        folder = self.cache / "structures"
        return Structures(self.task, self.digest, changing, self.job.recovery, self._changed_groups, folder)

    @cached_property
    def untrained(self) -> Structures:
        """The same without training, to be timed."""
        return Structures(
            self.task, self.digest, self.structures.techniques, None, self._changed_groups, self.cache / "structures"
        )

    @cached_property
    def scales(self) -> list[LayerScale]:
        """How decisions narrow the layers."""
        return [scale for technique in self.structures.techniques.values() for scale in technique.scales()]

    @cached_property
    def techniques(self) -> dict[str, Technique]:
        """The techniques of the job's space, in the order in which they apply; the usual ones where it names none."""
        usual: dict[str, dict[str, Any]] = {name: {} for name in TECHNIQUES if TECHNIQUES[name].by_default}
        sections = self.job.space if self.job.space is not None else usual
        subject = Subject(
            model=self.model,
            groups=self.groups,
            digest=self.digest,
            sample=self.sample,
            samples=self.sample_of,
            calibration_batches=self._calibration_batches,
            cache=self.cache,
            profile=self.profile,
            baseline=self.baseline_path,
            wanted=frozenset(name for name in FOOTPRINT if self.job.wants(name)),
            runtimes=tuple(sections[RUNTIME].get("choices", ())) if RUNTIME in sections else None,
            capabilities={known.profile_digest: known for known in map(capability_from, self.order.capabilities)},
            passing=self.passing,
            formats=self.formats,
            task=self.task,
            recipe=self.job.recovery,
            strategy=(self.job.strategy.name, self.job.strategy.options),
            layer_times=self._layer_times,
            deadline=self.deadline,
        )
        return {
            name: TECHNIQUES[name](subject, validate_options(TECHNIQUES[name].Options, sections[name], f"space.{name}"))
            for name in TECHNIQUES
            if name in sections
        }

    @property
    def _layer_times(self) -> LayerTable | None:
        given = self.order.layer_times
        return None if given is None else LayerTable.from_dict(json.loads(given))

    def space(self, *devices: Device | None) -> Space:
        """All decisions of the job, asked of its devices; None stands for what is modelled.

        A choice that some device gains by is there. What executes a candidate is decided for each device. Values that
        one runtime does without are replaced where there is one device only: another may gain by them.
        """
        decisions: list[Decision] = []
        self.answers = []
        for name, technique in self.techniques.items():
            asked = []
            for device, known in zip(devices, self.order.devices, strict=False):
                before = len(technique.answers)
                with self.stopwatch.timing(f"asking the device about {name}"):
                    asked.append(technique.decisions(device))
                named = {"device": known.label} if len(devices) > 1 else {}
                self.answers.extend({**named, **answer} for answer in technique.answers[before:])
            decisions.extend(union([asked[0], *map(_renamed, asked[1:], self.order.others)]))
        replacements = [one for technique in self.techniques.values() for one in technique.replacements]
        deciding = {RUNTIME} & {decision.technique for decision in decisions}
        options = {
            name: technique.options.model_dump(mode="json")
            for name, technique in self.techniques.items()
            if name != RUNTIME or name in deciding
        }
        digests, first = [device.profile.digest for device in self.order.devices], self.order.devices[0].label
        context = [self.digest, options, digests[0] if len(digests) == 1 else digests]
        if self.structures.techniques:
            context.append(self.structures.training)
            context += [beside for one in self.structures.techniques.values() if (beside := one.depends())]
        return Space(
            tuple(decisions),
            digest_of([*context, self.formats] if self.formats else context),
            tuple(replacements) if len(devices) == 1 else (),
            promising_settings(
                [one for one in self.answers if one.get("device") in (None, first)], decisions, self.profile.runtime
            ),
        )

    def coverage(self, space: Space) -> dict[str, Any]:
        """What the space holds and what it does not, as a job's facts hold it; empty where no layer is to have another
        precision."""
        precision, formats = self.techniques.get("precision"), self.techniques.get(FORMATS)
        if precision is None and formats is None:
            return {}
        choices = precision.options.choices if isinstance(precision, PrecisionTechnique) else ()
        trained = {group.name for group in formats.layers} if isinstance(formats, FormatsTechnique) else set()
        return {
            COVERAGE: coverage(self.model, self.groups, space, self.answers, choices, trained, self.profile.runtime)
        }

    def build(self, decisions: Mapping[str, str], path: Path) -> Built:
        """Writes a candidate's file; the same decisions give the same bytes."""
        draft = self.structures.draft(decisions) or Draft(self.model, self.groups)
        with working():
            for technique in self.techniques.values():
                draft = technique.apply(draft, decisions)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_model(draft.model, path)
        return Built(path, digest_of_file(path), path.stat().st_size, self._known(draft, decisions))

    def rest(self) -> None:
        """Lets go of a large model until the next build: what measures meanwhile needs the memory. Where techniques
        change modules, what they keep is worth more than that."""
        if self.baseline_path.stat().st_size > LARGE_MODEL_BYTES and not self.structures.techniques:
            for name in ("model", "techniques"):
                self.__dict__.pop(name, None)

    def _known(self, draft: Draft, decisions: Mapping[str, str]) -> dict[str, Any]:
        """See :attr:`Built.metrics`."""
        found: dict[str, Any] = {}
        formats: dict[str, str] = {}
        for name, technique in self.techniques.items():
            own = technique.layer_formats(draft, decisions)
            formats |= own
            if own and name == FORMATS:
                found[FORMATS] = {group.name: own.get(group.name, Precision.FP32.value) for group in draft.groups}
                found |= {} if is_executable(own) else {SIMULATED_FORMATS: True}
        architecture = draft.notes.get(FORMATS, {}).get(ARCHITECTURE)
        found |= {ARCHITECTURE: architecture} if architecture else {}
        if self.job.wants(BIT_OPERATIONS):
            found[BIT_OPERATIONS] = bit_operations(draft.groups, formats)
        return found

    def baseline_metrics(self) -> dict[str, Any]:
        """What is known of the fp32 model without running it."""
        return {BIT_OPERATIONS: bit_operations(self.groups, {})} if self.job.wants(BIT_OPERATIONS) else {}

    def quality(self, path: Path, split: Split, runtime: str | None = None, device: str | None = None) -> Quality:
        """Quality of an exported file through ``runtime`` (None: the device's first), in the batches that the device
        (None: the job's first) will use."""
        scores, figures = self._scores(path, split, runtime, device)
        summary = summarised(scores, self.task.clusters(split))
        stood_in = stand_in(self.order.profile_of(device), runtime)
        return Quality({**figures, **summary.metrics}, summary.intervals, stood_in)

    def outputs(
        self, path: Path, samples: Arrays, runtime: str | None = None, device: str | None = None
    ) -> dict[str, Array]:
        """What a file answers to samples here, as :meth:`quality` asks it."""
        profile = self.order.profile_of(device)
        session = local_runtime(profile, runtime).open(path)
        try:
            return answered(session, samples, profile.batch)
        finally:
            session.close()

    def quality_of(self, outputs: Arrays, split: Split, device: str | None = None) -> Quality:
        """:meth:`quality` of outputs that were made elsewhere, for all samples of the split.

        Raises :class:`BuildFailed` for other outputs than the model's, and where the task asks for those of other
        samples too.
        """
        inputs = self.task.inputs(split)
        reference = self._reference(split, self.order.profile_of(device), None)
        if {n: v.shape for n, v in outputs.items()} != {n: v.shape for n, v in reference.items()}:
            raise BuildFailed("the outputs are not those of this model for these samples")

        def predict(samples: Arrays) -> dict[str, Array]:
            if samples.keys() != inputs.keys() or not all(np.array_equal(samples[n], inputs[n]) for n in inputs):
                raise BuildFailed("the task asks for the outputs of other samples than the split's")
            return dict(outputs)

        figures = {name: float(value) for name, value in self.task.evaluate(predict, split).items()}
        check_finite((name, np.array(value)) for name, value in figures.items())
        scores = {**fidelity(outputs, reference), **self.task.score(outputs, split)}
        summary = summarised(scores, self.task.clusters(split))
        return Quality({**figures, **summary.metrics}, summary.intervals)

    def losses(
        self, path: Path, split: Split, runtime: str | None = None, device: str | None = None
    ) -> dict[str, Loss]:
        """What each metric loses against the fp32 model on the same samples, with paired intervals."""
        ours: Answers = []
        theirs: Answers = []
        scores, figures = self._scores(path, split, runtime, device, ours)
        fp32_scores, fp32_figures = self._scores(self.baseline_path, split, None, device, theirs)
        clusters = self.task.clusters(split)
        finished = {name: (value, fp32_figures[name]) for name, value in figures.items() if name not in scores}
        known = (
            blended_intervals(lambda predict: self.task.evaluate(predict, split), ours, theirs, finished)
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
        return {**{name: Loss(*pair, known.get(name)) for name, pair in finished.items()}, **sampled}

    def _scores(
        self, path: Path, split: Split, runtime: str | None, device: str | None, asked: Answers | None = None
    ) -> tuple[Scores, dict[str, float]]:
        """A figure a sample for the metrics that have one, and the task's finished figures; what the task asked for
        these is added to ``asked``."""
        inputs, profile = self.task.inputs(split), self.order.profile_of(device)
        session = local_runtime(profile, runtime).open(path)
        workers = max(1, len(usable_cores()))

        def predict(samples: Arrays) -> dict[str, Array]:
            own = samples.keys() == inputs.keys() and all(samples[name] is inputs[name] for name in inputs)
            found = outputs if own else run_all(session, samples, batch=profile.batch, workers=workers)
            if asked is not None:
                asked.append(found)
            return found

        try:
            outputs = run_all(session, inputs, batch=profile.batch, workers=workers)
            figures = {name: float(value) for name, value in self.task.evaluate(predict, split).items()}
        finally:
            session.close()
        check_finite((name, np.array(value)) for name, value in figures.items())
        known = outputs if path == self.baseline_path and runtime is None else None
        reference = self._reference(split, profile, known)
        return {**fidelity(outputs, reference), **self.task.score(outputs, split)}, figures

    def _reference(self, split: Split, profile: Profile, known: dict[str, Array] | None) -> dict[str, Array]:
        """The fp32 model's outputs on a split, kept for all candidates."""
        runtime = local_runtime(profile)
        executed = [runtime.name, runtime.hint, local_version(profile)]
        key = digest_of([self.digest, split, executed, profile.batch])
        path = self.cache / "references" / f"{key}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if known is None:
            session = runtime.open(self.baseline_path)
            try:
                known = run_all(
                    session, self.task.inputs(split), batch=profile.batch, workers=max(1, len(usable_cores()))
                )
            finally:
                session.close()
        known = {name: values for name, values in known.items() if not values.dtype.hasobject}  # no text is compared
        partial = partial_path(path)
        np.savez(partial, allow_pickle=False, **known)
        partial.replace(path)
        return known


def _renamed(decisions: list[Decision], device: JobDevice) -> list[Decision]:
    """A further device's decisions: what executes a candidate there is one of its own."""
    return [replace(one, name=runtime_decision(device.label)) if one.name == RUNTIME else one for one in decisions]


def capability_from(text: str) -> Capability:
    """A device's capability as a work order carries it."""
    return Capability.from_dict(json.loads(text))
