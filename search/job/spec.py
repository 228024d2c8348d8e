"""The job file: its fields, and their validation.

``paretune schema`` publishes the schema for editors. Command line options override the file; the *resolved* job is
stored with the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evaluators.measuring.latency import Protocol
from evaluators.measuring.statistics import PERCENTILE_SAMPLES
from evaluators.metrics import METRICS, Metric, base_of
from hwprofiles import Profile
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search import bounds
from search.devices.lookup import NO_AGENTS, DeviceRegistry
from search.fronts.metrics import FOLDS, is_device_metric
from search.fronts.objectives import Constraint, Objective
from search.job.checks import (
    PERCENTILE,
    check_filters,
    check_percentile,
    check_stages,
    check_techniques,
    check_trainable,
    either,
)
from search.job.devices import labels_of
from search.job.yaml_text import read_yaml
from search.options import USUAL_TRIALS, explain_error, hide_default, validate_options
from search.training.recipe import Recipe


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AtOnce = Annotated[int, Field(ge=1, le=bounds.MOST_AT_ONCE, strict=True)]
Threads = Annotated[int, Field(ge=1, le=bounds.MOST_THREADS, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=bounds.MOST_SECONDS, strict=True)]


class TaskSpec(_Strict):
    """A task by registry name, ``./file.py:function`` or ``package.module:function``, and its options."""

    name: bounds.Text
    options: dict[str, Any] = Field(default_factory=dict)


class DeviceSpec(_Strict):
    """A device by name, the number of threads (cores) it may use, and the samples in one inference."""

    name: bounds.Name
    threads: Threads = 1
    batch: AtOnce = 1


class ObjectiveSpec(_Strict):
    """A metric, and whether larger (``max``) or smaller (``min``) is better.

    With several devices: the figure of ``device``, or all figures folded into one by ``aggregate``.
    """

    metric: bounds.Name
    direction: Literal["max", "min"]
    device: bounds.Name | None = None
    aggregate: Literal["min", "max", "geomean"] | None = None


class StrategySpec(_Strict):
    """A search strategy by registry name, and its options."""

    name: bounds.Name = "nsga2"
    options: dict[str, Any] = Field(default_factory=dict)


class Budget(_Strict):
    """When to stop. ``batch`` candidates are proposed at once (default: the strategy's).

    ``parallel`` candidates are built and trained at the same time, which does not change results.
    """

    trials: Annotated[int, Field(ge=1, le=bounds.MOST, strict=True)] = USUAL_TRIALS
    minutes: Annotated[float, Field(gt=0, le=bounds.MOST, strict=True)] | None = None
    batch: AtOnce | None = None
    parallel: Threads = 1

    @property
    def total_s(self) -> float:
        """The time limit in seconds; infinity if there is none."""
        return math.inf if self.minutes is None else self.minutes * 60


class Limits(_Strict):
    """Time limits of the stages in seconds, and the memory limit of a stage's process in bytes.

    ``device_s`` is the silence after which a remote device is given up. On a Ray cluster a trial takes ``memory_bytes``
    and ``gpus`` of a node.
    """

    training_s: Seconds = 3600
    exporting_s: Seconds = 600
    building_s: Seconds = 300
    measuring_s: Seconds = 300
    device_s: Seconds = 600
    memory_bytes: Annotated[int, Field(ge=1, le=bounds.MOST_BYTES, strict=True)] | None = None
    gpus: float = Field(0, ge=0, le=bounds.MOST_THREADS, strict=True)


class Job(_Strict):
    """A search job."""

    version: Literal[1] = 1
    name: bounds.Name = "job"
    task: TaskSpec
    devices: tuple[DeviceSpec, ...] = Field((DeviceSpec(name="local-cpu"),), max_length=bounds.MOST_ITEMS)
    objectives: tuple[ObjectiveSpec, ...] = Field(
        (ObjectiveSpec(metric="cosine", direction="max"), ObjectiveSpec(metric="speedup", direction="max")),
        max_length=bounds.MOST_ITEMS,
        description="Default: accuracy and speedup if the task has labels, else cosine and speedup.",
        json_schema_extra=hide_default,
    )
    """Those of a task that was not asked; :func:`search.job.default_objectives.resolve_objectives` asks it."""
    constraints: tuple[bounds.Text, ...] = Field((), max_length=bounds.MOST_ITEMS)
    space: dict[str, dict[str, Any]] | None = None
    recovery: Recipe | None = Recipe()
    filters: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=bounds.MOST_ITEMS)
    strategy: StrategySpec = StrategySpec()
    budget: Budget = Budget()
    limits: Limits = Limits()
    seed: Annotated[bounds.Seed, Field(strict=True)] = 0

    @model_validator(mode="before")
    @classmethod
    def _stages(cls, data: Any) -> Any:
        """Turns the field ``stages`` into the strategy that runs them."""
        if not isinstance(data, Mapping) or "stages" not in data:
            return data
        if "strategy" in data:
            raise ValueError("strategy: it stands in each of the stages; leave out one of both")
        stages = data["stages"]
        if not isinstance(stages, list | tuple) or not stages:
            raise ValueError("stages: must be a list of stages; write: stages: [{strategy: nsga2, trials: 60}]")
        rest = {key: value for key, value in data.items() if key != "stages"}
        budget = rest.get("budget") or {}
        if isinstance(budget, Mapping):
            counts = [stage.get("trials", USUAL_TRIALS) if isinstance(stage, Mapping) else 0 for stage in stages]
            if all(isinstance(count, int) and count > 0 for count in counts):
                budget = {"trials": sum(counts), **budget}
        return {**rest, "budget": budget, "strategy": {"name": "staged", "options": {"stages": stages}}}

    @field_validator("devices", mode="before")
    @classmethod
    def _device_specs(cls, value: Any) -> Any:
        is_list = isinstance(value, list | tuple)
        return [{"name": item} if isinstance(item, str) else item for item in value] if is_list else value

    @field_validator("strategy", mode="before")
    @classmethod
    def _strategy_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("space", "filters", mode="before")
    @classmethod
    def _empty_sections(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: {} if section is None else section for key, section in value.items()}
        return value

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the devices, in their order."""
        return labels_of([(device.name, device.threads, device.batch) for device in self.devices])

    @property
    def names_objectives(self) -> bool:
        """Whether it was given objectives; otherwise they depend on its task."""
        return "objectives" in self.model_fields_set

    @property
    def joint_objectives(self) -> tuple[Objective, ...]:
        """The objectives of the search; with several devices, a device metric becomes one objective per device."""
        if len(self.devices) == 1:
            return self.objectives_on(self.labels[0])
        objectives: list[Objective] = []
        for spec in self.objectives:
            metric, place = self.split(spec)
            if place is None and is_device_metric(metric):
                objectives.extend(self._objective(f"{metric}@{label}", spec.direction) for label in self.labels)
            else:
                objectives.append(self._objective(f"{metric}@{place}" if place else metric, spec.direction))
        return tuple(objectives)

    def objectives_on(self, label: str) -> tuple[Objective, ...]:
        """Returns the objectives of one device, in the plain names of its own figures."""
        split = [(*self.split(spec), spec.direction) for spec in self.objectives]
        places = (None, label, *FOLDS)
        return tuple(self._objective(metric, direction) for metric, place, direction in split if place in places)

    def _objective(self, metric: str, direction: Literal["max", "min"]) -> Objective:
        name = base_of(metric)
        return Objective(metric, direction, None if name in METRICS else self.own_metrics.get(name))

    @property
    def sections(self) -> Mapping[str, Mapping[str, Any]] | None:
        """The space as the techniques read it: with the strategy's options for them."""
        from search.strategies import STRATEGIES

        if self.space is None:
            return None
        return STRATEGIES[self.strategy.name].sections(self.space, self.strategy.options)

    @property
    def own_metrics(self) -> dict[str, Metric]:
        """The metrics that the job's techniques add to those of the table."""
        from search.techniques import own_metrics, sections_of

        return own_metrics(sections_of(self.space))

    @property
    def joint_constraints(self) -> tuple[Constraint, ...]:
        """The constraints of the search, parsed."""
        return tuple(Constraint.parse(text, self.labels) for text in self.constraints)

    def constraints_on(self, label: str) -> tuple[Constraint, ...]:
        """Returns the constraints that must hold on one device."""
        return tuple(constraint for constraint in self.joint_constraints if constraint.device in (None, label))

    def to_dict(self) -> dict[str, Any]:
        """Returns the job file as data; without objectives if it names none."""
        return self.model_dump(mode="json", exclude=None if self.names_objectives else {"objectives"})

    def alone(self, label: str) -> dict[str, Any]:
        """Returns the job file as data, if this device were the only one."""
        data = self.model_dump(mode="json")
        data["devices"] = [data["devices"][self.labels.index(label)]]
        data["objectives"] = [{"metric": o.metric, "direction": o.direction} for o in self.objectives_on(label)]
        data["constraints"] = [constraint.text.replace(f"@{label}", "") for constraint in self.constraints_on(label)]
        return data

    def split(self, spec: ObjectiveSpec) -> tuple[str, str | None]:
        """Returns the metric of an objective, and the device or fold that it names (None if none).

        ``metric: speedup@phone`` means the same as ``metric: speedup`` with ``device: phone``.
        """
        metric, _, place = spec.metric.rpartition("@")
        places = (*self.labels, *(FOLDS if len(self.devices) > 1 else ()))
        return (metric, place) if place in places else (spec.metric, spec.device or spec.aggregate)

    @property
    def protocol(self) -> Protocol:
        """The latency protocol: with as many inferences as the percentiles that the job names need."""
        named = {int(name.removeprefix(PERCENTILE)) for name in self._figures if name.startswith(PERCENTILE)}
        return Protocol(samples=max((PERCENTILE_SAMPLES[percent] for percent in named - {50}), default=0))

    @property
    def _figures(self) -> tuple[str, ...]:
        """The metrics that objectives and constraints name, without devices."""
        return (*(self.split(o)[0] for o in self.objectives), *(c.metric for c in self.joint_constraints))

    def wants(self, metric: str) -> bool:
        """Returns whether an objective or a constraint names the metric."""
        return any(name.split(".")[0] == metric for name in self._figures)


def parse_job(data: Any, *, folder: Path, registry: DeviceRegistry = NO_AGENTS) -> Job:
    """Returns a job from plain data; relative task files are found from ``folder``, devices in ``registry``.

    Raises :class:`InvalidInput` that names the field, and suggests the nearest name for an unknown one.
    """
    if not isinstance(data, Mapping):
        raise InvalidInput("the job file must contain key: value fields", "write at least: task: {name: digits}")
    try:
        job = Job.model_validate(data)
    except ValidationError as error:
        raise explain_error(error, Job) from None
    _check_names(job, folder, registry)
    return job


def load_job(path: Path, registry: DeviceRegistry = NO_AGENTS) -> Job:
    """Returns a job from a YAML file, named like the file unless it has a name.

    Raises :class:`InvalidInput` as :func:`parse_job` does, also for a missing file.
    """
    data = read_yaml(path)
    named = {"name": path.stem, **data} if isinstance(data, dict) else data
    return parse_job(named, folder=path.parent, registry=registry)


def _check_names(job: Job, folder: Path, registry: DeviceRegistry) -> None:
    from search.strategies import STRATEGIES
    from search.tasks import TASKS, check_task
    from search.techniques import trains

    if not job.devices:
        raise InvalidInput("devices: at least one device is needed", "write: devices: [local-cpu]")
    if not job.objectives:
        raise InvalidInput(
            "objectives: at least one objective is needed", "write: objectives: [{metric: cosine, direction: max}]"
        )
    _check_devices(job, registry)
    check_task(job.task.name, folder)
    if job.task.name in TASKS:
        validate_options(TASKS[job.task.name].Options, job.task.options, "task.options")
    if job.strategy.name not in STRATEGIES:
        raise InvalidInput(
            f"strategy.name: unknown strategy {job.strategy.name!r}", nearest(job.strategy.name, list(STRATEGIES))
        )
    where = "" if job.strategy.name == "staged" else "strategy.options"  # a job file has `stages` by themselves
    options = validate_options(STRATEGIES[job.strategy.name].Options, job.strategy.options, where)
    check_stages(getattr(options, "stages", ()), job.space)
    for name in STRATEGIES[job.strategy.name].needs:
        if name not in (job.space or {}):
            raise InvalidInput(
                f"space: the strategy {job.strategy.name!r} needs the technique {name!r}",
                f"write: space: {{{name}: {{}}}}",
            )
    STRATEGIES[job.strategy.name].sections(job.space or {}, job.strategy.options)
    check_techniques(job.space or {})
    check_trainable(job.task.name, job.space or {})
    check_filters(job.filters, job.space or {})
    if job.recovery is not None and (trains(job.space or ()) or job.recovery.losses != Recipe().losses):
        from search.training.loss_names import LOSSES

        for name in job.recovery.losses:
            if name not in LOSSES:
                raise InvalidInput(f"recovery.losses: unknown loss {name!r}", nearest(name, list(LOSSES)))
        from search.training.losses import make_losses  # imports torch, which few jobs need here

        make_losses(job.recovery.losses, "recovery.losses")
    for number, text in enumerate(job.constraints):
        try:
            constraint = Constraint.parse(text, job.labels)
        except InvalidInput as error:
            raise InvalidInput(f"constraints.{number}: {error.message}", error.hint) from None
        if constraint.device not in (None, *job.labels):
            raise InvalidInput(
                f"constraints.{number}: {text!r} names device {constraint.device!r}, which the job does not use",
                f"use {either(f'@{label}' for label in job.labels)}, or no device",
            )
        check_percentile(constraint.metric, f"constraints.{number}")
    for number, spec in enumerate(job.objectives):
        _check_objective(job, spec, f"objectives.{number}")
        check_percentile(job.split(spec)[0], f"objectives.{number}")


def _check_devices(job: Job, registry: DeviceRegistry) -> None:
    """Checks that devices exist, that none is listed twice, and that either all of them measure or none does."""
    profiles: list[Profile] = []
    for number, device in enumerate(job.devices):
        if device in job.devices[:number]:
            raise InvalidInput(
                f"devices.{number}: the same device as devices.{job.devices.index(device)}",
                "leave one of them out, or give it other threads or another batch",
            )
        try:
            profiles.append(registry.find(device.name, device.threads, device.batch))
        except InvalidInput as error:
            raise InvalidInput(f"devices.{number}.name: {error.message}", error.hint) from None
    modelled = [label for label, profile in zip(job.labels, profiles, strict=True) if profile.simulated]
    if modelled and len(modelled) < len(profiles):
        raise InvalidInput(
            f"devices: {modelled[0]!r} is simulated and others are measured, which never share a front",
            "write one job for the simulated devices and one for those that measure",
        )
    invented = [label for label, profile in zip(job.labels, profiles, strict=True) if profile.is_dry_run]
    if invented and len(invented) < len(profiles):
        raise InvalidInput(
            f"devices: {invented[0]!r} makes up its figures and others evaluate quality, which never share a front",
            "leave dry-run out, or use it alone to try the job file",
        )
    taken = [label for label in job.labels if label in FOLDS or job.labels.count(label) > 1]
    if taken and len(job.labels) > 1:
        raise InvalidInput(f"devices: {taken[0]!r} would name several things", "give the device another name")


def _check_objective(job: Job, spec: ObjectiveSpec, where: str) -> None:
    """Checks that an objective names a device of the job, and at most one of device, ``@`` and aggregate."""
    if spec.device is not None and spec.device not in job.labels:
        raise InvalidInput(
            f"{where}.device: {spec.device!r} is no device of the job", f"use {either(job.labels)}, or no device"
        )
    named = {name for name in (job.split(spec)[1], spec.device, spec.aggregate) if name is not None}
    if len(named) > 1:
        raise InvalidInput(
            f"{where}: names {' and '.join(map(repr, sorted(named)))}, of which one can be meant",
            "leave out device, or aggregate",
        )
