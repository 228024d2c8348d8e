"""Exports a candidate: its file, with a receipt that compares it with what the front claims."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluators.processes.sandbox import Sandbox, in_own_process
from evaluators.processes.sandbox_child import Progress
from hwprofiles.errors import CandidateError, InvalidInput, ParetuneError
from search.artefacts.job_folders import folder_of
from search.devices.link import StoreLink
from search.devices.lookup import DeviceRegistry
from search.export.bundle import Bundle, check_target, check_writable
from search.export.real_device import check_real
from search.export.receipt import file_findings, latency_part, manifest_of, package_versions, receipt_of
from search.export.remeasurement import measure_latency, measure_secondary
from search.export.verdict import Evidence
from search.folders import job_folder
from search.fronts.metrics import (
    DEVICES,
    QUALITY_CHECK,
    QUALITY_FROM,
    QUALITY_RUNTIME,
    SIMULATED_FORMATS,
    failures_of,
    figures_on,
)
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.job.spec import Job
from search.job.views import views_of
from search.space.candidate import Space
from search.store import JobRow, Store, TrialRow, digests_of
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.local_runtime import stand_in
from search.trials.scoring import Loss
from search.trials.trial import TrialRunner
from search.trials.workspace import Built


@dataclass(frozen=True)
class _Source:
    """A candidate to export, and what is needed to build it."""

    job: Job
    job_row: JobRow
    row: TrialRow
    """With the metrics that the front claims on the device."""
    device: JobDevice
    context: JobContext
    facts: JobFacts


def export_candidate(
    store: Store,
    candidate: str,
    folder: Path,
    *,
    device: str | None = None,
    wait_quiet_s: float = 0.0,
    progress: Progress = lambda text: None,
    recorded: bool = True,
    scratch: Path | None = None,
) -> dict[str, Any]:
    """Builds and measures a candidate again (minutes), writes a bundle to ``folder``, and returns its receipt.

    The new file must equal the measured one, byte for byte. Quality is evaluated on the validation split (must be
    equal) and on the *test* split, which the search never saw; latency in a fresh process. All figures are those of the
    exported file itself.

    Latency is measured repeatedly for up to ``wait_quiet_s`` seconds while it is inconclusive, because the machine is
    busy or the interval wide; a measurement in progress is finished.

    The export is listed with the candidate if it is ``recorded``. Files under way are in the folder ``scratch``, by
    default the job's.

    Raises :class:`InvalidInput` for a candidate that has no file to export, :class:`ParetuneError` if it can no longer
    be built. The receipt's ``verdict`` is ``confirmed``, ``disagrees``, ``inconclusive``, or ``unclaimed`` if the front
    was modelled.
    """
    row = store.trials.get(candidate)
    job_row = store.jobs.get(row.job_id)
    check_target(folder)
    check_writable(folder)
    if job_row.baseline is None or job_row.space is None or not row.state.measured:
        raise InvalidInput(
            f"candidate {row.candidate_id} is {row.state} and cannot be exported", "pick one from: paretune front"
        )
    source = _source(store, job_row, row, device, progress)
    # Not in the job's own folder: a search that is resumed removes files there that it no longer needs.
    files = tempfile.TemporaryDirectory(prefix="export-", dir=scratch or job_folder(row.job_id))
    runner = TrialRunner(source.context, source.facts, job_folder(row.job_id), Path(files.name))
    fresh = Sandbox(log=job_folder(row.job_id) / "export.log", progress=progress)
    try:
        bundle, receipt = _write_bundle(source, runner, fresh, folder, wait_quiet_s, progress)
    except CandidateError as error:
        raise ParetuneError(f"candidate {row.candidate_id} cannot be exported: {error.message}", error.hint) from None
    finally:
        runner.close()
        fresh.close()
        files.cleanup()
    if recorded:
        store.exports.add(row.candidate_id, str(bundle.folder.resolve()), receipt["verdict"], receipt)
    return receipt


def _source(store: Store, job_row: JobRow, row: TrialRow, device: str | None, progress: Progress) -> _Source:
    """Resolves the device; of a modelled job it also prepares the model (trains it, for minutes)."""
    job, facts = Job.model_validate(job_row.spec), JobFacts.from_dict((job_row.baseline or {})["facts"])
    space = Space.from_dict(job_row.space or {})
    chosen = _device(job, job_row, row, device, DeviceRegistry(store))
    link = StoreLink(store.url, away_s=job.limits.device_s)
    place = folder_of(job_row.files, job_row.spec_folder)
    if row.simulated:
        progress("preparing the model for the device")
        alone = Job.model_validate(job.alone(job.labels[0]))
        device_alone = JobDevice(alone.labels[0], chosen.profile)
        context = JobContext(alone, place, (device_alone,), link)
        facts = _train_and_describe(context, job)
        return _Source(job, job_row, row, chosen, context.with_preparation(facts, space), facts)
    devices = tuple(JobDevice(label, store.devices.profile(digest)) for label, digest in digests_of(job_row).items())
    context = JobContext(job, place, devices, link).with_preparation(facts, space)
    return _Source(job, job_row, replace(row, metrics=_front_metrics(row, chosen)), chosen, context, facts)


def _write_bundle(
    source: _Source, runner: TrialRunner, fresh: Sandbox, folder: Path, wait_quiet_s: float, progress: Progress
) -> tuple[Bundle, dict[str, Any]]:
    """Builds the file, measures it again (minutes), and writes the bundle; also returns its receipt."""
    job, row, device, context = source.job, source.row, source.device, source.context
    progress("building the file")
    built = runner.build(row.decisions, row.digest)
    evaluator = runner.evaluator(device.label)
    limit_s, where = job.limits.measuring_s, (evaluator.runtime(row.decisions), device.label)
    progress("quality on the validation split")
    validation = fresh.call(
        sandboxed.losses, context, built.path, "validation", *where, stage="measuring", limit_s=limit_s
    )
    progress("quality on the test split")
    test = fresh.call(sandboxed.losses, context, built.path, "test", *where, stage="measuring", limit_s=limit_s)
    calibration = fresh.call(sandboxed.calibration_digest, context, stage="measuring", limit_s=limit_s)
    manifest = manifest_of(source.job_row, row, device, built, source.facts)
    evidence = _evidence(source, built, validation, test)
    measured, times = None, 0
    secondary: dict[str, Any] = {}
    if evidence.timed:
        measured, times, evidence = measure_latency(evaluator, built.path, row, evidence, wait_quiet_s, progress)
        secondary, missing = measure_secondary(evaluator, built.path, row)
        evidence = replace(
            evidence, measured={**evidence.measured, **secondary}, missing={**evidence.missing, **missing}
        )
    if measured is not None:
        manifest |= {"runtime": {"name": measured.runtime, "version": measured.runtime_version}}
    receipt = receipt_of(row, built, evidence, file_findings(source.job_row, row, built))
    receipt |= latency_part(evaluator, measured, times, evidence)
    receipt |= {**secondary, "calibration_sha256": calibration}
    stood_in = fresh.call(stand_in, device.profile, where[0], stage="measuring", limit_s=limit_s)
    receipt |= {QUALITY_RUNTIME: stood_in}
    if device.profile.agent:  # quality was evaluated on this machine
        receipt |= {QUALITY_FROM: "host", QUALITY_CHECK: row.metrics.get(QUALITY_CHECK, "not compared")}
    receipt |= {"device": device.label, "profile": device.profile.to_dict()}
    receipt |= {"digests": dict(source.facts.digests)}
    receipt |= {"shared_split": source.facts.shared_split, "notes": list(source.facts.notes)}
    receipt |= {"versions": package_versions()}
    return Bundle.write(folder, built.path, manifest, receipt), receipt


def _device(job: Job, job_row: JobRow, row: TrialRow, device: str | None, registry: DeviceRegistry) -> JobDevice:
    """Returns the job's device with this label, probed now (None: the first), or another with the first's threads and
    batch."""
    if not row.simulated and len(job.labels) > 1 and device not in (None, *job.labels):
        raise InvalidInput(
            f"candidate {row.candidate_id} was not measured on device {device!r}",
            f"name one of: {', '.join(job.labels)}",
        )
    label = device if device in job.labels else job.labels[0]
    spec = job.devices[job.labels.index(label)]
    profile = registry.find(spec.name if device in (None, label) else device, spec.threads, spec.batch)
    check_real(row.candidate_id, profile)
    if not row.simulated and profile.digest != digests_of(job_row).get(label):
        raise InvalidInput(
            f"candidate {row.candidate_id} was measured on another device than {device or label!r} as it is now",
            "run the job on this device first: results of two profiles are never mixed",
        )
    return JobDevice(profile.device if row.simulated else label, profile)


def _front_metrics(row: TrialRow, chosen: JobDevice) -> dict[str, Any]:
    """Returns the metrics that the front claims on the device."""
    failure = failures_of(row.metrics).get(chosen.label)
    if failure is not None:
        raise InvalidInput(
            f"candidate {row.candidate_id} does not run on {chosen.label!r}: {failure['reason']}",
            "name another of the job's devices with --device",
        )
    return figures_on(row.metrics, chosen.label) if DEVICES in row.metrics else row.metrics


def _train_and_describe(context: JobContext, job: Job) -> JobFacts:
    """Trains the model (minutes) and returns its facts, which a modelled job lacks."""
    limit_s = job.limits.training_s + job.limits.exporting_s
    return in_own_process(sandboxed.facts, context, stage="training", limit_s=limit_s)


def _evidence(source: _Source, built: Built, validation: Mapping[str, Loss], test: Mapping[str, Loss]) -> Evidence:
    """Returns the evidence without measurements on the device."""
    job, row = source.job, source.row
    views = views_of(job)
    view = next((view for view in views if view.label == source.device.label), views[0])
    return Evidence(
        view=view,
        claimed={} if row.simulated else row.metrics,
        measured={**built.metrics, **{name: loss.value for name, loss in validation.items()}},
        baseline=view.metrics((source.job_row.baseline or {})["metrics"]),
        validation=validation,
        test=test,
        timed=SIMULATED_FORMATS not in built.metrics,
        own=tuple(job.own_metrics),
    )
