"""Export: a candidate's file with a receipt that proves that it does what the front said."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evaluators.devices.evaluators import SizeEvaluator
from evaluators.measuring.measurement import Measurement, combined
from evaluators.processes.sandbox import Sandbox, in_own_process
from evaluators.processes.sandbox_child import Progress
from hwprofiles.errors import CandidateError, InvalidInput, ParetuneError, StorageError, UnhealthyMeasurement
from search.devices.link import ErrandLink
from search.devices.lookup import agents_of, find_device
from search.export.bundle import Bundle, check_target
from search.export.comparison import Outcome
from search.export.verdict import Evidence, judge, verdict_of
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
from search.job.spec import Job
from search.job.views import views_of
from search.space.candidate import Space
from search.store import JobRow, Store, TrialRow, digests_of
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.device_evaluation import DeviceEvaluator
from search.trials.local_runtime import stand_in
from search.trials.scoring import Loss
from search.trials.trial import TrialRunner
from search.trials.workspace import Built

MEASUREMENTS = 3
"""So often in all a receipt is measured whose speed-up is not the front's beyond doubt; all of it together decides."""

PAUSE_S = 10.0
"""Between two measurements of a receipt, so that they are of two moments."""

_TIMES = ("speedup", "latency_ms", "energy_mj")
_UNKNOWN = "nothing here tells whether the machine was quiet"

_PACKAGES = ("paretune", "onnx", "onnxruntime", "openvino", "numpy", "torch")


def export_candidate(
    store: Store,
    candidate: str,
    folder: Path,
    *,
    device: str | None = None,
    wait_quiet_s: float = 0.0,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Writes a bundle and returns its receipt.

    The file is built anew and must be the one that was measured, byte for byte. Quality is taken again on the
    validation split (must be equal) and on the *test* split, which the search never saw; latency in a fresh process.
    Everything is read from the exported file itself.

    Latency is measured again for up to ``wait_quiet_s`` seconds while it proves nothing, since the machine is busy or
    the interval wide; a measurement that was begun is finished.

    Raises :class:`InvalidInput` for a candidate that has no file to export, :class:`ParetuneError` when it can no
    longer be built. The receipt's ``verdict`` is ``confirmed``, ``disagrees``, ``inconclusive``, or ``unclaimed`` where
    the front was modelled.
    """
    row = store.trial(candidate)
    job_row = store.job(row.job_id)
    check_target(folder)
    _check_writable(folder)
    if job_row.baseline is None or not row.state.measured:
        raise InvalidInput(
            f"candidate {row.candidate_id} is {row.state} and cannot be exported", "pick one from: paretune front"
        )
    job = Job.model_validate(job_row.spec)
    with agents_of(store):
        chosen = _device(job, job_row, row, device)
    facts = job_row.baseline["facts"]
    link = ErrandLink(store.url, away_s=job.limits.device_s)
    if row.simulated:
        progress("preparing the model for the device")
        spec = json.dumps(job.alone(job.labels[0]))
        order = JobContext(spec, job_row.spec_folder, chosen.profile, link=link)
        facts = _real_facts(order, job)
        order = order.with_facts(facts)
    else:
        first, *others = (JobDevice(label, store.profile(digest)) for label, digest in digests_of(job_row).items())
        order = JobContext(
            json.dumps(job_row.spec), job_row.spec_folder, first.profile, further_devices=tuple(others), link=link
        ).with_facts(facts)
        row = replace(row, metrics=_claimed(row, chosen))
    # Not in the job's own folder: a search that goes on removes what it no longer needs there.
    files = tempfile.TemporaryDirectory(prefix="export-", dir=job_folder(row.job_id))
    runner = TrialRunner(order, facts, job_folder(row.job_id), Path(files.name))
    fresh = Sandbox(log=job_folder(row.job_id) / "export.log", progress=progress)
    try:
        progress("building the file")
        built = runner.build(row.decisions, row.digest)
        bench = runner.evaluator(chosen.label)
        limit_s, asked = job.limits.measuring_s, (bench.runtime(row.decisions), chosen.label)
        progress("quality on the validation split")
        validation = fresh.call(
            sandboxed.losses, order, built.path, "validation", *asked, stage="measuring", limit_s=limit_s
        )
        progress("quality on the test split")
        test = fresh.call(sandboxed.losses, order, built.path, "test", *asked, stage="measuring", limit_s=limit_s)
        calibration = fresh.call(sandboxed.calibration_digest, order, stage="measuring", limit_s=limit_s)
        manifest = _manifest(job_row, row, chosen, built, facts)
        evidence = _evidence(job, job_row, row, chosen, built, validation, test)
        measured, times, timed = None, 0, SIMULATED_FORMATS not in built.metrics
        beside: dict[str, Any] = {}
        if timed:
            measured, times, evidence = _latency(bench, built.path, row, evidence, wait_quiet_s, progress)
            beside, missing = _beside(bench, built.path, row)
            evidence = replace(
                evidence, measured={**evidence.measured, **beside}, missing={**evidence.missing, **missing}
            )
        if measured is not None:
            manifest |= {"runtime": {"name": measured.runtime, "version": measured.runtime_version}}
        receipt = _receipt(row, built, evidence, _findings(job_row, row, built))
        receipt |= _timed(bench, measured, times, evidence)
        receipt |= {**beside, "calibration_sha256": calibration}
        stood_in = fresh.call(stand_in, chosen.profile, asked[0], stage="measuring", limit_s=limit_s)
        receipt |= {QUALITY_RUNTIME: stood_in}
        if chosen.profile.agent:  # what is above was taken here
            receipt |= {QUALITY_FROM: "host", QUALITY_CHECK: row.metrics.get(QUALITY_CHECK, "not compared")}
        receipt |= {"device": chosen.label, "profile": chosen.profile.to_dict()}
        receipt |= {"digests": facts.get("digests", {})}
        receipt |= {"shared_split": bool(facts["shared_split"]), "versions": _versions()}
        bundle = Bundle.write(folder, built.path, manifest, receipt)
    except CandidateError as error:
        raise ParetuneError(f"candidate {row.candidate_id} cannot be exported: {error.message}", error.hint) from None
    finally:
        runner.close()
        fresh.close()
        files.cleanup()
    store.add_export(row.candidate_id, str(bundle.folder.resolve()), receipt["verdict"], receipt)
    return receipt


def _check_writable(folder: Path) -> None:
    """Raises :class:`StorageError` now rather than after all measurements."""
    place = folder.resolve().parent
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryDirectory(prefix=".paretune-", dir=place).cleanup()
    except OSError as error:
        raise StorageError(f"folder {folder} cannot be written: {error.strerror}", "name another with -o") from None


def _device(job: Job, job_row: JobRow, row: TrialRow, device: str | None) -> JobDevice:
    """The job's device of this label as it is now (None: the first), or another with the first's threads and batch."""
    if not row.simulated and len(job.labels) > 1 and device not in (None, *job.labels):
        raise InvalidInput(
            f"candidate {row.candidate_id} was not measured on device {device!r}",
            f"name one of: {', '.join(job.labels)}",
        )
    label = device if device in job.labels else job.labels[0]
    asked = job.devices[job.labels.index(label)]
    profile = find_device(asked.name if device in (None, label) else device, asked.threads, asked.batch)
    if profile.simulated:
        raise InvalidInput(
            f"candidate {row.candidate_id} cannot be exported for {profile.device!r}, which measures nothing",
            "name a real device: --device local-cpu",
        )
    if not row.simulated and profile.digest != digests_of(job_row).get(label):
        raise InvalidInput(
            f"candidate {row.candidate_id} was measured on another device than {device or label!r} as it is now",
            "run the job on this device first: results of two profiles are never mixed",
        )
    return JobDevice(profile.device if row.simulated else label, profile)


def _claimed(row: TrialRow, chosen: JobDevice) -> dict[str, Any]:
    """What the front says of a candidate on the device."""
    failure = failures_of(row.metrics).get(chosen.label)
    if failure is not None:
        raise InvalidInput(
            f"candidate {row.candidate_id} does not run on {chosen.label!r}: {failure['reason']}",
            "name another of the job's devices with --device",
        )
    return figures_on(row.metrics, chosen.label) if DEVICES in row.metrics else row.metrics


def _real_facts(order: JobContext, job: Job) -> dict[str, Any]:
    """The facts of the trained model, which a modelled job never made."""
    limit_s = job.limits.training_s + job.limits.exporting_s
    return in_own_process(sandboxed.facts, order, stage="training", limit_s=limit_s)


def _evidence(
    job: Job,
    job_row: JobRow,
    row: TrialRow,
    chosen: JobDevice,
    built: Built,
    validation: Mapping[str, Loss],
    test: Mapping[str, Loss],
) -> Evidence:
    """Everything but what the device says."""
    views = views_of(job)
    view = next((view for view in views if view.label == chosen.label), views[0])
    known = {**built.metrics, **SizeEvaluator(job.wants("sparse_size_bytes")).evaluate(built.path).metrics}
    return Evidence(
        view=view,
        claimed={} if row.simulated else row.metrics,
        measured={**known, **{name: loss.value for name, loss in validation.items()}},
        baseline=view.metrics((job_row.baseline or {})["metrics"]),
        validation=validation,
        test=test,
        timed=SIMULATED_FORMATS not in built.metrics,
    )


def _latency(
    bench: DeviceEvaluator, path: Path, row: TrialRow, evidence: Evidence, wait_quiet_s: float, progress: Progress
) -> tuple[Measurement | None, int, Evidence]:
    """The pooled measurement (None: none had an interval narrow enough to be one), of how many, and the evidence with
    it."""
    ends_at = time.monotonic() + wait_quiet_s
    measured: Measurement | None = None
    times = 0
    while True:
        progress("latency in a fresh process")
        try:
            found = bench.measure(path, row.decisions)
            measured, times = (found if measured is None else combined(measured, found)), times + 1
            evidence = _with_latency(bench, evidence, measured)
        except UnhealthyMeasurement as error:
            if measured is None:
                evidence = replace(evidence, missing=dict.fromkeys(_TIMES, error.message))
        left_s = ends_at - time.monotonic()
        outcome = _outcome(evidence, measured, simulated=row.simulated)
        if measured is not None and measured.healthy:
            more = times < MEASUREMENTS or (left_s > 0 and outcome is Outcome.INCONCLUSIVE)
        else:
            more = left_s > 0
        if outcome is Outcome.AGREES or not more:
            return measured, times, evidence
        progress("waiting for a quiet machine" if left_s > 0 else "waiting for another moment")
        time.sleep(min(PAUSE_S, left_s) if left_s > 0 else PAUSE_S)


def _with_latency(bench: DeviceEvaluator, evidence: Evidence, measured: Measurement) -> Evidence:
    health = "unknown" if measured.health is None else measured.health.verdict
    doubt = "" if measured.healthy else f"the machine was {health}" if health != "unknown" else _UNKNOWN
    return replace(evidence, measured={**evidence.measured, **bench.figures(measured)}, doubt=doubt, missing={})


def _outcome(evidence: Evidence, measured: Measurement | None, *, simulated: bool) -> Outcome:
    """What the speed-up comes to so far; a front that was modelled claimed none, and a healthy one is all that can be
    had."""
    comparison = evidence.speed()
    if simulated or comparison is None:
        return Outcome.AGREES if measured is not None and measured.healthy else Outcome.INCONCLUSIVE
    return judge([comparison])[0].outcome


def _beside(bench: DeviceEvaluator, path: Path, row: TrialRow) -> tuple[dict[str, Any], dict[str, str]]:
    """Memory, starts and throughput, and why there is none of the latter on a machine that was too busy for it."""
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for names, evaluate in bench.secondary_measurements():
        try:
            found |= evaluate(path, row.decisions)
        except UnhealthyMeasurement as error:
            missing |= dict.fromkeys(names, error.message)
    return found, missing


def _findings(job_row: JobRow, row: TrialRow, built: Built) -> list[str]:
    """What is wrong with the file itself: it must be, byte for byte, the one that was measured, and what its decisions
    name."""
    if row.simulated:
        return []
    findings = []
    if row.artifact_sha256 != built.sha256:
        findings.append("the file built now differs from the one that was measured")
    try:
        named = Space.from_dict(job_row.space or {}).candidate(row.decisions).digest
    except (KeyError, ValueError):
        named = None
    if named != row.digest:
        findings.append("the candidate's decisions are not those that its digest names")
    return findings


def _receipt(row: TrialRow, built: Built, evidence: Evidence, findings: list[str]) -> dict[str, Any]:
    checks = judge(list(evidence.splits()) if row.simulated else evidence.comparisons())
    verdict = verdict_of(checks, findings, claims=not row.simulated)
    disagreeing = [check.reason for check in checks if check.outcome is Outcome.DISAGREES]
    return {
        "verdict": verdict.value,
        "findings": findings + disagreeing,
        "reasons": [check.reason for check in checks if check.outcome is Outcome.INCONCLUSIVE],
        "checks": [check.to_dict() for check in checks],
        "candidate_id": row.candidate_id,
        "digest": row.digest,
        "model_sha256": built.sha256,
        "size_bytes": built.size_bytes,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "claimed": evidence.claimed,
        "quality": {
            "validation": {name: asdict(loss) for name, loss in evidence.validation.items()},
            "test": {name: asdict(loss) for name, loss in evidence.test.items()},
        },
    }


def _timed(bench: DeviceEvaluator, measured: Measurement | None, times: int, evidence: Evidence) -> dict[str, Any]:
    """A receipt's latency; None for a file with number formats that no runtime computes in, and where the machine was
    too busy for any."""
    if measured is None:
        why = evidence.missing.get("speedup", "no runtime computes in all of its number formats")
        return {"latency": None, "latency_missing": why, "health": None, "measurement": None}
    baseline = measured.baseline_metrics()["latency_ms"]
    return {
        "latency": {**bench.figures(measured), "baseline": baseline, "measurements": times},
        "latency_missing": None,
        "health": None if measured.health is None else measured.health.to_dict(),
        "measurement": measured.to_dict(),
    }


def _manifest(
    job_row: JobRow, row: TrialRow, chosen: JobDevice, built: Built, facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format": 1,
        "target": "onnx",
        "model": "model.onnx",
        "model_sha256": built.sha256,
        "job_id": job_row.job_id,
        "job": job_row.name,
        "task": job_row.spec["task"],
        "candidate_id": row.candidate_id,
        "digest": row.digest,
        "decisions": row.decisions,
        "baseline_sha256": facts["model_sha256"],
        "device": chosen.label,
        "profile_digest": chosen.profile.digest,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
