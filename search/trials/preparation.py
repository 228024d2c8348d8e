"""What is done once, before a job's first candidate: the devices are asked, and the fp32 model is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evaluators.devices.device import Device
from evaluators.devices.evaluators import SizeEvaluator
from evaluators.devices.timed import TimedDevice
from evaluators.measuring.quality import Quality
from evaluators.measuring.throughput import Load
from evaluators.processes.sandbox_child import report
from evaluators.runtimes import Arrays
from hwprofiles.errors import InvalidInput, NotAsked, ParetuneError
from search.budget.allowance import STARTS, Allowance
from search.budget.stopwatch import Stopwatch
from search.budget.time_budget import TimeBudget
from search.devices.link import DeviceLost
from search.devices.lookup import open_device
from search.fronts.metrics import QUALITY_RUNTIME, joined
from search.fronts.reference import REFERENCES, Reference
from search.job.devices import JobDevice
from search.options import validate_options
from search.prediction.modelled import bounds, invent_baseline
from search.prediction.tables import LIMIT_S, MOST, measure_format_table, measure_layer_tables
from search.space.candidate import Space, runtime_decision
from search.strategies import STRATEGIES
from search.techniques import Draft
from search.trials.workspace import Workspace

NO_TIME_FOR_TABLES = "not made: the time to prepare the job was over"


@dataclass(frozen=True)
class Prepared:
    """What is known before the first candidate: the space, the baseline's metrics, and facts about model and device."""

    space: Space
    metrics: dict[str, Any]
    facts: dict[str, Any]

    @property
    def baseline(self) -> dict[str, Any]:
        """As the store keeps it."""
        return {"metrics": self.metrics, "facts": self.facts}


class Preparation:
    """Asks and measures for one workspace, in its process, as long as the job's ``budget`` has time for it: the fp32
    model in any case, then what the devices gain by, then what its layers take."""

    def __init__(self, space: Workspace, budget: TimeBudget | None = None) -> None:
        self._work, self._order, self._job = space, space.order, space.job
        self._budget = budget or TimeBudget(math.inf)
        self._allowance = Allowance.within(self._job)
        self._watch = Stopwatch(self._budget.clock)
        self._measured: dict[str, dict[str, Any]] = {}
        self._measuring_s = Stopwatch(self._budget.clock)

    def prepared(self) -> Prepared:
        """The space and the baseline's own figures; the longest step of a job's start."""
        if self._order.profile.invented:
            return self._invented()
        with self._watch.timing("exporting the model"):
            self._work.model  # noqa: B018 - exported on first use
        with self._watch.timing("evaluating the fp32 model"):
            report("evaluating the fp32 model")
            labels = [None, *(other.label for other in self._order.others)]
            qualities = [self._work.quality(self._work.baseline_path, "validation", None, label) for label in labels]
        if self._order.profile.modelled:
            return self._modelled(qualities)
        opened: list[Device] = []
        try:
            opened.extend(open_device(device.profile, self._order.link) for device in self._order.devices)
            with self._watch.timing("measuring the fp32 model"):
                for device, of in zip(opened, self._order.devices, strict=True):
                    self._check_percentiles(device, of)
                self._work.rest()
                found = [self._baseline_on(*one) for one in zip(opened, self._order.devices, qualities, strict=True)]
            space = self._asked(opened)
            coverage = self._work.coverage(space)
            self._work.rest()
            with self._watch.timing("timing layers"):
                tables = self._layer_tables(opened, space) | self._layer_times(opened[0])
        finally:
            for device in opened:
                device.close()
        metrics = self._on_all(found)
        names = [device.label for device in self._order.devices]
        facts = {
            "device_answers": self._work.answers,
            "baseline_measurements": self._measured,
            "measuring_s": {name: s / len(opened) for name, s in self._measuring_s.seconds.items()},
            "preparing_s": {**self._watch.seconds, **self._work.stopwatch.seconds},
            REFERENCES: {name: Reference.of(one).to_dict() for name, one in zip(names, found, strict=True)},
            **tables,
        }
        return Prepared(space, metrics, self._facts() | facts | coverage)

    def _asked(self, devices: Sequence[Device]) -> Space:
        """The space, by what the devices answer in the time that there is; what they were not asked stays in it."""
        self._work.deadline = self._budget.preparing
        self._work.stopwatch = Stopwatch(self._budget.clock)
        return self._work.space(*(TimedDevice(device, self._work.deadline) for device in devices))

    def facts(self) -> dict[str, Any]:
        """What builds and measurements rest on: the device is asked for the space, but nothing is measured beyond
        that."""
        self._work.model  # noqa: B018 - exported on first use
        device = open_device(self._order.profile, self._order.link)
        try:
            self._work.space(device)
        finally:
            device.close()
        return self._facts()

    def _invented(self) -> Prepared:
        """A dry run's: nothing is looked at but the model's structure."""
        space = self._work.space(None)
        baseline = space.baseline()
        metrics = invent_baseline(self._order.devices, self._work.groups, baseline.decisions, baseline.digest)
        return Prepared(space, metrics, self._facts() | self._work.coverage(space))

    def _modelled(self, qualities: Sequence[Quality]) -> Prepared:
        """On modelled devices: the real quality, and what their peaks allow at best."""
        space = self._work.space(None)
        found = [
            {**self._file_figures(quality), **bounds(of.profile, self._work.groups, {})}
            for of, quality in zip(self._order.devices, qualities, strict=True)
        ]
        return Prepared(space, self._on_all(found), self._facts() | self._work.coverage(space))

    def _on_all(self, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The baseline's figures on each device as one mapping."""
        names = [device.label for device in self._order.devices]
        return found[0] if len(found) == 1 else joined(names, dict(zip(names, found, strict=True)))

    def _file_figures(self, quality: Quality) -> dict[str, Any]:
        """What no device changes: the fp32 model's size and operations, and its quality with the intervals."""
        mark = {} if quality.stand_in is None else {QUALITY_RUNTIME: quality.stand_in}
        return {
            **quality.metrics,
            **SizeEvaluator(self._job.wants("sparse_size_bytes")).evaluate(self._work.baseline_path).metrics,
            **self._work.baseline_metrics(),
            "intervals": {name: list(interval) for name, interval in quality.intervals.items()},
            **mark,
        }

    def _baseline_on(self, device: Device, of: JobDevice, quality: Quality) -> dict[str, Any]:
        """The fp32 model's figures on a device, from a measurement against itself."""
        report("measuring the fp32 model against itself")
        path, sample, limit_s = self._work.baseline_path, self._work.sample_of(of.profile), self._job.limits.measuring_s
        protocol = self._allowance.protocol
        if math.isfinite(self._budget.total_s):  # no time to wait for quiet: the figures come with their wide interval
            protocol = replace(protocol, usable_width=math.inf)
        with self._measuring_s.timing("latency"):
            measured = device.measure(path, path, sample, protocol=protocol, limit_s=limit_s)
        self._measured[of.label] = measured.summary()
        with self._measuring_s.timing("beside"):
            beside = self._beside_on(device, sample, limit_s)
        return {
            **quality.metrics,
            **measured.metrics(),
            **SizeEvaluator(self._job.wants("sparse_size_bytes")).evaluate(path).metrics,
            **self._work.baseline_metrics(),
            **beside,
            "intervals": {name: list(interval) for name, interval in quality.intervals.items()},
        }

    def _check_percentiles(self, device: Device, of: JobDevice) -> None:
        """Raises :class:`InvalidInput` where a percentile that the job names needs more inferences of the fp32 model
        than a measurement has time for, before anything else takes minutes."""
        protocol = self._job.protocol
        if not protocol.samples:
            return
        report("timing the fp32 model for the percentile that the job names")
        path, sample = self._work.baseline_path, self._work.sample_of(of.profile)
        quick = device.measure(path, path, sample, protocol=protocol.quick(), limit_s=self._job.limits.measuring_s)
        ms = quick.baseline_metrics()["latency_ms"]["p50"]
        if not protocol.fits(ms):
            raise InvalidInput(
                f"the percentile of latency_ms that the job names needs {protocol.samples} inferences of each model, "
                f"which at {ms:.0f} ms would take more than the {protocol.patience_s:.0f} s that a measurement has",
                "name latency_ms, the median, or a lower percentile",
            )

    def _beside_on(self, device: Device, sample: Arrays, limit_s: float) -> dict[str, Any]:
        """The fp32 model's memory and starts, unless nobody asks for them and time is short, and its throughput."""
        path, wanted = self._work.baseline_path, self._allowance.wanted_beside(self._job)
        found: dict[str, Any] = {}
        if "peak_memory_bytes" in wanted:
            found["peak_memory_bytes"] = device.peak_memory_bytes(path, sample, limit_s=limit_s)
        if STARTS & wanted and (starts := device.starts(path, sample, limit_s=limit_s)):
            found |= starts.metrics()
        return found | self._throughput_on(device, sample)

    def _throughput_on(self, device: Device, sample: Arrays) -> dict[str, Any]:
        """The fp32 model's throughput, where the job asks for it and the device can be asked."""
        if not self._job.wants("throughput"):
            return {}
        path = self._work.baseline_path
        found = device.throughput(path, path, sample, load=Load(), limit_s=self._job.limits.measuring_s)
        return {} if found is None else found.metrics()

    def _layer_tables(self, devices: Sequence[Device], space: Space) -> dict[str, Any]:
        """What each layer takes on a device, to predict candidates by, and why some device has none of it.

        Nobody waits for what only tells: unless the strategy screens by predictions, the table of the fp32 model's own
        structure on the first device will do.
        """
        all_of_them = self._screens
        most_s = LIMIT_S if all_of_them else min(LIMIT_S, self._budget.tables_s)
        preparing = self._budget.preparing
        ends = replace(preparing, ends_at=min(preparing.ends_at, preparing.clock() + most_s * len(devices)))
        work, draft = self._work, Draft(self._work.model, self._work.groups)
        tables: dict[str, list[dict[str, Any]]] = {}
        missing: dict[str, str] = {}
        for number, (device, of) in enumerate(zip(devices, self._order.devices, strict=True)):
            tables[of.label] = []
            if number and not all_of_them:
                continue
            try:
                ends.check()
                tables[of.label] = measure_layer_tables(
                    TimedDevice(device, ends), space, work.techniques, draft, work.sample_of(of.profile),
                    subject=work.digest, cache=work.cache, runtime=runtime_decision(of.label if number else None),
                    most=MOST if all_of_them else 1, passing=work.passing, scales=work.scales if all_of_them else (),
                    narrowed=work.untrained.draft, limit_s=ends.within(most_s), clock=self._budget.clock,
                )  # fmt: skip
                if not tables[of.label] and ends.passed:
                    missing[of.label] = NO_TIME_FOR_TABLES
            except DeviceLost:
                raise
            except NotAsked:
                missing[of.label] = NO_TIME_FOR_TABLES
            except ParetuneError as error:
                missing[of.label] = error.message
        return {"layer_tables": tables, **({"no_layer_tables": missing} if missing else {})}

    def _layer_times(self, device: Device) -> dict[str, Any]:
        """The first device's table that number formats are searched for by, where they are."""
        work, draft = self._work, Draft(self._work.model, self._work.groups)
        sample = work.sample_of(self._order.profile)
        found = measure_format_table(
            device, work.techniques, draft, sample, subject=work.digest, cache=work.cache, passing=work.passing
        )
        return {} if found is None else {"layer_times": found.to_dict()}

    @property
    def _screens(self) -> bool:
        asked = self._job.strategy
        return validate_options(STRATEGIES[asked.name].Options, asked.options, "strategy.options").screens

    def _facts(self) -> dict[str, Any]:
        return {
            "subject": self._work.digest,
            "model_path": str(self._work.baseline_path),
            "model_sha256": self._work.model_sha256,
            "groups": [asdict(group) for group in self._work.groups],
            "shared_split": self._work.task.shared_split,
            "notes": self._work.notes(),
            "digests": self._work.digests,
            **({"formats": self._work.formats} if self._work.formats else {}),
            **({"scales": [asdict(one) for one in scales]} if (scales := self._work.scales) else {}),
        }
