"""Preparation of a job, once before its first candidate: the fp32 model is measured, the devices are benchmarked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluators.devices.device import Device
from evaluators.devices.evaluators import device_evaluators
from evaluators.devices.timed import TimedDevice
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.quality import Quality
from evaluators.probing.layer_table import LayerTable
from evaluators.processes.sandbox_child import report
from evaluators.runtimes import Arrays
from hwprofiles.errors import InvalidInput, NotAsked, ParetuneError
from search.budget.allowance import Allowance
from search.budget.stopwatch import Stopwatch
from search.budget.time_budget import TimeBudget
from search.devices.link import DeviceLost
from search.devices.lookup import open_device
from search.fronts.metrics import QUALITY_RUNTIME, merge_devices
from search.fronts.reference import Reference
from search.job.devices import JobDevice
from search.job.facts import JobFacts, StructureTable
from search.options import validate_options
from search.prediction.modelled import ModelledJob, bounds, invent_baseline
from search.prediction.tables import LIMIT_S, MOST, measure_format_table, measure_layer_tables
from search.space.candidate import Space
from search.strategies import STRATEGIES
from search.trials.invented import invent_file_metrics
from search.trials.scoring import Scoring
from search.trials.workspace import Workspace

NO_TIME_FOR_TABLES = "not made: the time to prepare the job was over"


@dataclass(frozen=True)
class PreparationResult:
    """The results of the preparation."""

    space: Space
    metrics: dict[str, Any]
    """Metrics of the baseline."""
    facts: JobFacts

    @property
    def baseline(self) -> dict[str, Any]:
        """Metrics and facts, as they are stored."""
        return {"metrics": self.metrics, "facts": self.facts.to_dict()}


class Preparation:
    """Prepares the job of one workspace, in its process, within the time of its ``budget``.

    Measures the fp32 model in any case, then benchmarks the devices for the space, then times layers.
    """

    def __init__(self, workspace: Workspace, budget: TimeBudget | None = None) -> None:
        self._work, self._context, self._job = workspace, workspace.context, workspace.job
        self._scoring = Scoring(workspace)
        self._budget = budget or TimeBudget(math.inf)
        self._allowance = Allowance.within(self._job)
        self._watch = Stopwatch(self._budget.clock)
        self._measured: dict[str, dict[str, Any]] = {}
        self._measuring_s = Stopwatch(self._budget.clock)

    def prepare(self) -> PreparationResult:
        """Measures the baseline and benchmarks the devices, in minutes."""
        if self._context.profile.is_dry_run:
            return self._prepare_dry_run()
        with self._watch.timing("exporting the model"):
            self._work.model  # noqa: B018 - exported on first use
        with self._watch.timing("evaluating the fp32 model"):
            report("evaluating the fp32 model")
            labels = [None, *(device.label for device in self._context.further_devices)]
            path = self._work.baseline_path
            qualities = [self._scoring.quality(path, "validation", None, label) for label in labels]
        if self._context.profile.modelled:
            return self._prepare_on_peaks(qualities)
        opened: list[Device] = []
        try:
            opened.extend(open_device(device.profile, self._context.link) for device in self._context.devices)
            with self._watch.timing("measuring the fp32 model"):
                for device, of in zip(opened, self._context.devices, strict=True):
                    self._check_percentiles(device, of)
                self._work.rest()
                parts = zip(opened, self._context.devices, qualities, strict=True)
                figures = [self._measure_baseline(*part) for part in parts]
            space = self._ask_devices(opened)
            coverage = self._work.coverage(space)
            self._work.rest()
            with self._watch.timing("timing layers"):
                tables, no_tables = self._measure_tables(opened, space)
                layer_times = self._measure_layer_times(opened[0])
        finally:
            for device in opened:
                device.close()
        metrics = self._merge(figures)
        names = [device.label for device in self._context.devices]
        facts = replace(
            self._facts(),
            coverage=coverage,
            device_answers=tuple(self._work.answers),
            baseline_measurements=self._measured,
            references={name: Reference.of(own) for name, own in zip(names, figures, strict=True)},
            layer_tables=tables,
            no_layer_tables=no_tables,
            layer_times=layer_times,
            measuring_s={name: s / len(opened) for name, s in self._measuring_s.seconds.items()},
            preparing_s={**self._watch.seconds, **self._work.stopwatch.seconds},
        )
        return PreparationResult(space, metrics, facts)

    def _ask_devices(self, devices: Sequence[Device]) -> Space:
        """Benchmarks the devices for the space, within the time; values without a benchmark stay in it."""
        self._work.deadline = self._budget.preparing
        self._work.stopwatch = Stopwatch(self._budget.clock)
        return self._work.space(*(TimedDevice(device, self._work.deadline) for device in devices))

    def facts(self) -> JobFacts:
        """Returns the facts for builds and measurements; benchmarks the device for the space, but measures no
        baseline."""
        self._work.model  # noqa: B018 - exported on first use
        device = open_device(self._context.profile, self._context.link)
        try:
            self._work.space(device)
        finally:
            device.close()
        return self._facts()

    def _prepare_dry_run(self) -> PreparationResult:
        """Prepares a dry run, which needs only the model's structure."""
        space = self._work.space(None)
        metrics = invent_baseline(self._context.devices, ModelledJob(self._work.groups, space))
        metrics |= invent_file_metrics(self._job, metrics, None)
        return PreparationResult(space, metrics, replace(self._facts(), coverage=self._work.coverage(space)))

    def _prepare_on_peaks(self, qualities: Sequence[Quality]) -> PreparationResult:
        """Prepares a job on modelled devices: measured quality, and bounds by the devices' peaks."""
        space = self._work.space(None)
        figures = [
            {**self._file_figures(quality), **bounds(of.profile, ModelledJob(self._work.groups, space), {})}
            for of, quality in zip(self._context.devices, qualities, strict=True)
        ]
        facts = replace(self._facts(), coverage=self._work.coverage(space))
        return PreparationResult(space, self._merge(figures), facts)

    def _merge(self, figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Merges the baseline's figures on each device into one mapping."""
        names = [device.label for device in self._context.devices]
        return figures[0] if len(figures) == 1 else merge_devices(names, dict(zip(names, figures, strict=True)))

    def _file_figures(self, quality: Quality) -> dict[str, Any]:
        """Returns the fp32 model's figures apart from speed: those of the file, and quality with intervals."""
        mark = {} if quality.stand_in is None else {QUALITY_RUNTIME: quality.stand_in}
        return {
            **quality.metrics,
            **self._work.baseline_metrics(),
            "intervals": {name: list(interval) for name, interval in quality.intervals.items()},
            **mark,
        }

    def _measure_baseline(self, device: Device, of: JobDevice, quality: Quality) -> dict[str, Any]:
        """Measures the fp32 model on a device, against itself."""
        report("measuring the fp32 model against itself")
        path, sample = self._work.baseline_path, self._work.sample_of(of.profile)
        limit_s, protocol = self._job.limits.measuring_s, self._allowance.protocol
        if math.isfinite(self._budget.total_s):  # with a time limit, do not wait for quiet: accept wide intervals
            protocol = replace(protocol, usable_width=math.inf)
        with self._measuring_s.timing("latency"):
            measured = device.measure(LatencyRequest(path, path, sample, protocol, limit_s))
        self._measured[of.label] = measured.summary()
        with self._measuring_s.timing("beside"):
            secondary = self._measure_secondary(device, sample, limit_s)
        return {
            **quality.metrics,
            **measured.metrics(),
            **self._work.baseline_metrics(),
            **secondary,
            "intervals": {name: list(interval) for name, interval in quality.intervals.items()},
        }

    def _check_percentiles(self, device: Device, of: JobDevice) -> None:
        """Times the fp32 model for the percentile that the job names, before anything else takes minutes.

        Raises :class:`InvalidInput` if it needs more inferences than a measurement has time for.
        """
        protocol = self._job.protocol
        if not protocol.samples:
            return
        report("timing the fp32 model for the percentile that the job names")
        path, sample = self._work.baseline_path, self._work.sample_of(of.profile)
        quick = device.measure(LatencyRequest(path, path, sample, protocol.quick(), self._job.limits.measuring_s))
        ms = quick.baseline_metrics()["latency_ms"]["p50"]
        if not protocol.fits(ms):
            raise InvalidInput(
                f"the job's percentile of latency_ms needs {protocol.samples} inferences of each model, "
                f"which at {ms:.0f} ms take longer than a measurement may ({protocol.patience_s:.0f} s)",
                "use latency_ms (the median) or a lower percentile",
            )

    def _measure_secondary(self, device: Device, sample: Arrays, limit_s: float) -> dict[str, Any]:
        """Measures the fp32 model's memory and start-up (if time is short, only on request), and what the job names."""
        path, metrics = self._work.baseline_path, dict[str, Any]()
        for kind in device_evaluators(self._job.wants, by_default=self._allowance.all_secondary):
            metrics |= kind(device, path, sample, limit_s).evaluate(path).metrics
        return metrics

    def _measure_tables(
        self, devices: Sequence[Device], space: Space
    ) -> tuple[dict[str, tuple[StructureTable, ...]], dict[str, str]]:
        """Measures the layer tables that predict candidates, by device, with the reasons for missing ones.

        Unless the strategy screens by predictions, tables serve only for display: they are limited to the fp32
        structure on the first device.
        """
        screens = self._screens
        most_s = LIMIT_S if screens else min(LIMIT_S, self._budget.tables_s)
        preparing = self._budget.preparing
        ends = replace(preparing, ends_at=min(preparing.ends_at, preparing.clock() + most_s * len(devices)))
        work, draft = self._work, self._work.draft
        tables: dict[str, tuple[StructureTable, ...]] = {}
        missing: dict[str, str] = {}
        for number, (device, of) in enumerate(zip(devices, self._context.devices, strict=True)):
            tables[of.label] = ()
            if number and not screens:
                continue
            try:
                ends.check()
                tables[of.label] = measure_layer_tables(
                    TimedDevice(device, ends), space, work.techniques, draft, work.sample_of(of.profile),
                    subject=work.digest, cache=work.cache, label=of.label if number else None,
                    most=MOST if screens else 1, transient=work.transient,
                    changes=work.layer_changes if screens else (), narrow_draft=work.variants_for_timing.draft,
                    limit_s=ends.within(most_s), clock=self._budget.clock,
                )  # fmt: skip
                if not tables[of.label] and ends.is_over:
                    missing[of.label] = NO_TIME_FOR_TABLES
            except DeviceLost:
                raise
            except NotAsked:
                missing[of.label] = NO_TIME_FOR_TABLES
            except ParetuneError as error:
                missing[of.label] = error.message
        return tables, missing

    def _measure_layer_times(self, device: Device) -> LayerTable | None:
        """Measures the first device's table for a one-shot search of number formats by latency, if the job has one."""
        work, draft = self._work, self._work.draft
        sample = work.sample_of(self._context.profile)
        return measure_format_table(
            device, work.techniques, draft, sample, subject=work.digest, cache=work.cache, transient=work.transient
        )

    @property
    def _screens(self) -> bool:
        strategy = self._job.strategy
        return validate_options(STRATEGIES[strategy.name].Options, strategy.options, "strategy.options").screens

    def _facts(self) -> JobFacts:
        """Returns the facts about the model alone."""
        return JobFacts(
            subject=self._work.digest,
            model_path=self._work.baseline_path,
            model_sha256=self._work.exported.sha256,
            groups=self._work.groups,
            shared_split=self._work.task.shared_split,
            notes=tuple(self._work.notes()),
            digests=self._work.exported.digests,
            static_schemes=self._work.static_schemes,
            layer_changes=tuple(self._work.layer_changes),
            encodings=self._work.encodings,
        )
