"""The workspace of a job in one sandbox: its task, fp32 model, space, and the building of candidates.

Opened once a process from a :class:`JobContext`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx

from evaluators.devices.deadline import NEVER
from evaluators.devices.device import Device
from evaluators.devices.evaluators import evaluate_file
from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.changed_layers import decision_gaps, under_first_names
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import load_model, save_model
from evaluators.graphs.quantised import count_integer_layers
from evaluators.graphs.run_shapes import shapes_in_run
from evaluators.processes.freed_memory import give_large_blocks_back
from evaluators.processes.locks import working
from evaluators.runtimes import Array
from hwprofiles import Profile, digest_of, digest_of_file
from hwprofiles.errors import InvalidInput
from search.budget.stopwatch import Stopwatch
from search.folders import cache_folder
from search.options import validate_options
from search.space.candidate import RUNTIME, Space
from search.space.coverage import coverage
from search.space.display import DISPLAY, Fields, Item, items_to_json
from search.space.encoding import UnitEncoding
from search.space.layer_changes import LayerChange
from search.space.promising import promising_settings
from search.tasks import BuiltInTask, Task, open_task
from search.tasks.origin import origin
from search.techniques import (
    FOOTPRINT,
    TECHNIQUES,
    Draft,
    ModuleTechnique,
    Offer,
    Subject,
    Technique,
    sections_of,
)
from search.techniques.base import LAYER_NUMBERS
from search.training.recipe import Recipe
from search.trials.context import JobContext
from search.trials.exported_model import ExportedModel
from search.trials.module_variants import ModuleVariants
from search.trials.offers import collect_offers
from search.trials.samples import Samples

LARGE_MODEL_BYTES = 128 * 2**20
"""A process does not keep parts of a larger model that it is not working on."""

BIT_OPERATIONS = "bit_operations"

NOTHING_LEFT = "no float layer is left to quantise: give the float32 model to search in it"


@dataclass(frozen=True)
class Built:
    """A candidate's file."""

    path: Path
    sha256: str
    size_bytes: int
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Metrics known without running it: those of the techniques, under ``display`` what they noted,
    ``bit_operations`` if the job wants them, and those that the file alone decides."""


class Workspace:
    """Task, data, fp32 model and techniques of one job in one process. Used from one thread."""

    def __init__(self, context: JobContext, *, trained: bool = True) -> None:
        """Unless ``trained``, and in a dry run, the task gives the structure of its model alone."""
        give_large_blocks_back()
        self.context, self.job, self.profile = context, context.job, context.profile
        self.cache = cache_folder()
        self.answers: list[dict[str, Any]] = []
        """Benchmarks of the devices for the space; with the ``device`` if there are several."""
        self.transient: dict[str, Any] = {}
        """Answers of a busy device, by name."""
        self.static_schemes = context.static_schemes
        """Quantisation schemes of static int8 by family of runtimes, chosen by benchmarks."""
        self._prepared_space = context.space
        self.deadline = NEVER
        """End of the devices' benchmarks; set before the techniques are first needed."""
        self.stopwatch = Stopwatch()
        """Time that the benchmarks take."""
        self.task: Task = open_task(self.job.task.name, self.job.task.options, Path(context.folder))
        self.exported = ExportedModel(
            self.task, self._origin(), self.cache, trained=trained and not self.profile.is_dry_run,
            prepared=None if context.subject is None else context.digests,
        )  # fmt: skip
        """The fp32 model's file, and what names it."""
        self.samples = Samples(self.task, self.profile, lambda: self.baseline_path)
        if context.subject not in (None, self.digest):
            raise InvalidInput(
                "the task gives another model or other data than when the job was prepared",
                "seed all randomness in make_task; if a file has changed, start the job anew",
            )

    def _origin(self) -> str:
        if isinstance(self.task, BuiltInTask):
            return ""
        return origin(self.job.task.name, self.job.task.options, Path(self.context.folder))

    @property
    def digest(self) -> str:
        """See :attr:`search.trials.exported_model.ExportedModel.digest`."""
        return self.exported.digest

    @property
    def baseline_path(self) -> Path:
        """The file of the fp32 model that every candidate starts from."""
        return self.exported.path

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The fp32 model."""
        return load_model(self.baseline_path)

    def notes(self) -> list[str]:
        """Notes for the job's owner about reading the model and about what is measured."""
        self.model  # noqa: B018 - its export may add notes
        notes = [*self.task.notes, *self.exported.notes]
        count = min(map(len, self.task.inputs("validation").values()))
        for batch in dict.fromkeys(device.profile.batch for device in self.context.devices):
            if batch > count:
                notes.append(f"the validation split has {count} samples: an inference of {batch} repeats some of them")
        if (size := self.samples.inference_size(1)) > 1 == self.profile.batch:
            notes.append(f"the model takes {size} samples in one inference: latencies are of {size}")
        if quantised := count_integer_layers(self.model):
            left = sum(len(group.nodes) for group in self.groups)
            notes.append(
                f"{quantised} layers of the model are quantised already and stay as they are; "
                + (f"float layers left to decide: {left}" if left else NOTHING_LEFT)
            )
        return notes

    @property
    def sample(self) -> dict[str, Array]:
        """The input of one inference on the job's first device."""
        return self.sample_of(self.profile)

    def sample_of(self, profile: Profile) -> dict[str, Array]:
        """See :meth:`search.trials.samples.Samples.of_inference`."""
        return self.samples.of_inference(profile)

    @cached_property
    def groups(self) -> tuple[LayerGroup, ...]:
        """The layers that share a decision; their work is that of one sample, whatever the devices' batches."""
        return self._groups_of(self.model)

    def _groups_of(self, model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
        sample = self.sample_of(replace(self.profile, batch=1))
        return layer_groups(model, shapes=shapes_in_run(model, sample))

    def _groups_of_variant(self, model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
        return under_first_names(model, self._groups_of(model), self.model, self.groups)

    @cached_property
    def variants(self) -> ModuleVariants:
        """The modules that candidates are exported from."""
        techniques = {name: part for name, part in self.techniques.items() if isinstance(part, ModuleTechnique)}
        return self._new_variants(techniques, self.job.recovery)

    @cached_property
    def variants_for_timing(self) -> ModuleVariants:
        """The same without training, for timing."""
        return self._new_variants(self.variants.techniques, None)

    def _new_variants(self, techniques: Mapping[str, ModuleTechnique], recipe: Recipe | None) -> ModuleVariants:
        folder = self.cache / "structures"
        return ModuleVariants(
            self.task, self.digest, techniques, recipe, self._groups_of_variant, folder, self._technique_of
        )

    def _technique_of(self, decision: str) -> str:
        """Returns the technique that carries a decision of the prepared job out."""
        if self._prepared_space is None:
            raise ValueError("the job is not prepared: its decisions are unknown")
        return self._prepared_space.by_name[decision].technique

    @cached_property
    def layer_changes(self) -> list[LayerChange]:
        """How decisions change the costs of layers."""
        return [change for technique in self.techniques.values() for change in technique.layer_changes()]

    @cached_property
    def encodings(self) -> dict[str, UnitEncoding]:
        """The parts of the module that decisions are about, by the decisions' targets."""
        return {name: part for technique in self.techniques.values() for name, part in technique.encodings().items()}

    @cached_property
    def techniques(self) -> dict[str, Technique]:
        """The techniques of the job's space, in the order in which they apply; the default ones if it names none."""
        subject = self._subject()
        return {name: self._new_technique(name, subject) for name in self._sections}

    @cached_property
    def _sections(self) -> dict[str, Mapping[str, Any]]:
        return sections_of(self.job.sections)

    def _new_technique(self, name: str, subject: Subject) -> Technique:
        kind = TECHNIQUES[name]
        return kind(subject, validate_options(kind.Options, self._sections[name], f"space.{name}"))

    def _subject(self) -> Subject:
        footprint = FOOTPRINT | {name for name, row in self.job.own_metrics.items() if row.footprint}
        choices = self._sections.get(RUNTIME)
        return Subject(
            model=self.model,
            groups=self.groups,
            digest=self.digest,
            sample=self.sample,
            samples=self.sample_of,
            calibration_batches=self.samples.calibration_batches,
            cache=self.cache,
            profile=self.profile,
            baseline=self.baseline_path,
            wanted=frozenset(name for name in footprint if self.job.wants(name)),
            runtimes=None if choices is None else tuple(choices.get("choices", ())),
            capabilities={capability.profile_digest: capability for capability in self.context.capabilities},
            transient=self.transient,
            task=self.task,
            recipe=self.job.recovery,
            layer_times=self.context.layer_times,
            deadline=self.deadline,
        )

    def space(self, *devices: Device | None) -> Space:
        """Benchmarks the job's devices (minutes) and returns its decisions; None stands for a modelled device.

        A choice is offered if it is worthwhile on some device. Each device has a runtime decision of its own. Values
        are replaced in runtimes only if there is one device: another device may gain by them.
        """
        pairs = list(zip(self.context.devices, devices, strict=False))
        offer = collect_offers(self.techniques, pairs, Offer(static_schemes=self.static_schemes), self.stopwatch)
        self.answers, self.static_schemes = list(offer.answers), offer.static_schemes
        deciding = {RUNTIME} & {decision.technique for decision in offer.decisions}
        options = {
            name: technique.options.model_dump(mode="json")
            for name, technique in self.techniques.items()
            if name != RUNTIME or name in deciding
        }
        digests, first = [device.profile.digest for device in self.context.devices], self.context.devices[0].label
        identity = [self.digest, options, digests[0] if len(digests) == 1 else digests]
        if self.variants.techniques:
            identity.append(self.variants.training)
            identity += [data for technique in self.variants.techniques.values() if (data := technique.depends())]
        schemes = {family: asdict(scheme) for family, scheme in offer.static_schemes.items()}
        self._prepared_space = Space(
            offer.decisions,
            digest_of([*identity, schemes] if schemes else identity),
            offer.replacements if len(devices) == 1 else (),
            promising_settings(
                [answer for answer in self.answers if answer.get("device") in (None, first)],
                offer.decisions,
                self.profile.runtime,
            ),
        )
        return self._prepared_space

    def coverage(self, space: Space) -> dict[str, Any] | None:
        """Returns the values that the space contains and leaves out; None if nothing decides how layers' numbers are
        stored."""
        deciding = [technique for technique in self.techniques.values() if technique.decides == LAYER_NUMBERS]
        if not deciding:
            return None
        choices = [precision for technique in deciding for precision in technique.precisions]
        trained = {name for technique in deciding for name in technique.layers_without_decision}
        return coverage(self.model, self.groups, space, self.answers, choices, trained, self.profile.runtime)

    @property
    def draft(self) -> Draft:
        """The fp32 model, as every candidate starts from it."""
        return Draft(self.model, self.groups, static_schemes=self.static_schemes)

    def build(self, decisions: Mapping[str, str], path: Path) -> Built:
        """Writes a candidate's file; equal decisions give equal bytes. Trains its module unless that is stored."""
        variant = self.variants.draft(decisions) if self.variants.techniques else None
        draft = self.draft if variant is None else replace(variant, static_schemes=self.static_schemes)
        with working():
            gaps = {} if variant is None else decision_gaps(variant.model, variant.groups, self.model, self.groups)
            for technique in self.techniques.values():
                draft = technique.apply(draft, decisions)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_model(draft.model, path)
        return Built(path, digest_of_file(path), path.stat().st_size, self._metrics(draft, decisions, path, gaps))

    def rest(self) -> None:
        """Releases a large model until the next build, since measurements need the memory.

        Not if techniques change modules: their state is worth more than that.
        """
        if self.baseline_path.stat().st_size > LARGE_MODEL_BYTES and not self.variants.techniques:
            for name in ("model", "techniques"):
                self.__dict__.pop(name, None)

    def _metrics(
        self, draft: Draft, decisions: Mapping[str, str], path: Path, gaps: Mapping[str, str]
    ) -> dict[str, Any]:
        """See :attr:`Built.metrics`; ``gaps`` are reasons why layers are not computed as decided."""
        metrics: dict[str, Any] = {}
        formats: dict[str, str] = {}
        items: list[Item] = []
        for name, technique in self.techniques.items():
            formats |= technique.layer_formats(draft, decisions)
            metrics |= technique.compute_metrics(draft, decisions)
            items += technique.describe(draft.notes[name]) if name in draft.notes else []
        items += [Fields("Layers that are not computed as decided", gaps)] if gaps and formats else []
        if items:
            metrics[DISPLAY] = items_to_json(items)
        if self.job.wants(BIT_OPERATIONS):
            metrics[BIT_OPERATIONS] = bit_operations(draft.groups, formats)
        return metrics | evaluate_file(path, self.job.wants)

    def baseline_metrics(self) -> dict[str, Any]:
        """Metrics of the fp32 model that are known without running it."""
        metrics = evaluate_file(self.baseline_path, self.job.wants)
        if self.job.wants(BIT_OPERATIONS):
            metrics[BIT_OPERATIONS] = bit_operations(self.groups, {})
        for name in self._sections:
            if TECHNIQUES[name].metrics:  # made for this alone: the benchmarks' deadline is not known yet
                metrics |= self._new_technique(name, self._subject()).compute_metrics(self.draft, {})
        return metrics
