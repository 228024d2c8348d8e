"""Export: a candidate's file with a receipt that proves that it does what the front said."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evaluators.bundle import Bundle, check_target
from evaluators.child import Progress
from evaluators.measurement import Measurement, combined
from evaluators.sandbox import Sandbox, in_own_process
from hwprofiles.errors import CandidateError, InvalidInput, ParetuneError, StorageError
from search import verbs
from search.bench import Bench
from search.device_lookup import agents_of, find_device
from search.device_metrics import DEVICES, QUALITY_RUNTIME, failures_of, figures_on
from search.devices import JobDevice
from search.errand_link import ErrandLink
from search.folders import job_folder
from search.job import Job
from search.objectives import metric_interval
from search.runtime_here import stand_in
from search.store import JobRow, Store, TrialRow, digests_of
from search.techniques.formats import SIMULATED_FORMATS
from search.trial import TrialRunner
from search.work_order import WorkOrder
from search.workspace import Built, Loss

MEASUREMENTS = 3
"""So often in all a receipt is measured whose interval misses the front's; the verdict rests on all of it together."""

_PACKAGES = ("paretune", "onnx", "onnxruntime", "openvino", "numpy", "torch")


def export_candidate(
    store: Store, candidate: str, folder: Path, *, device: str | None = None, progress: Progress = lambda text: None
) -> dict[str, Any]:
    """Writes a bundle and returns its receipt.

    The file is built anew and must be the one that was measured, byte for byte. Quality is taken again on the
    validation split (must be equal) and on the *test* split, which the search never saw; latency in a fresh process.
    Everything is read from the exported file itself.

    Raises :class:`InvalidInput` for a candidate that has no file to export, :class:`ParetuneError` when it can no
    longer be built. The receipt's ``verdict`` is ``confirmed``, ``disagrees``, or ``unclaimed`` where the front was
    modelled.
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
        order = WorkOrder(spec, job_row.spec_folder, chosen.profile, link=link)
        facts = _real_facts(order, job)
        order = order.prepared(facts)
    else:
        first, *others = (JobDevice(label, store.profile(digest)) for label, digest in digests_of(job_row).items())
        order = WorkOrder(
            json.dumps(job_row.spec), job_row.spec_folder, first.profile, others=tuple(others), link=link
        ).prepared(facts)
        row = replace(row, metrics=_claimed(row, chosen))
    runner = TrialRunner(order, facts, job_folder(row.job_id))
    fresh = Sandbox(log=job_folder(row.job_id) / "export.log", progress=progress)
    try:
        progress("building the file")
        built = runner.build(row.decisions, row.digest)
        bench = runner.bench(chosen.label)
        limit_s, asked = job.limits.measuring_s, (bench.runtime(row.decisions), chosen.label)
        progress("quality on the validation split")
        validation = fresh.call(
            verbs.losses, order, built.path, "validation", *asked, stage="measuring", limit_s=limit_s
        )
        progress("quality on the test split")
        test = fresh.call(verbs.losses, order, built.path, "test", *asked, stage="measuring", limit_s=limit_s)
        calibration = fresh.call(verbs.calibration_digest, order, stage="measuring", limit_s=limit_s)
        measured, times, beside = None, 0, {}
        manifest = _manifest(job_row, row, chosen, built, facts)
        if SIMULATED_FORMATS not in built.metrics:
            progress("latency in a fresh process")
            measured, times = _latency(bench, built.path, row)
            beside = bench.beside(built.path, row.decisions)
            manifest |= {"runtime": {"name": measured.runtime, "version": measured.runtime_version}}
        receipt = _receipt(row, built, validation, test, measured, times)
        receipt |= {**beside, "calibration_sha256": calibration}
        stood_in = fresh.call(stand_in, chosen.profile, asked[0], stage="measuring", limit_s=limit_s)
        receipt |= {QUALITY_RUNTIME: stood_in}
        receipt |= {"device": chosen.label, "profile": chosen.profile.to_dict()}
        receipt |= {"digests": facts.get("digests", {})}
        receipt |= {"shared_split": bool(facts["shared_split"]), "versions": _versions()}
        bundle = Bundle.write(folder, built.path, manifest, receipt)
    except CandidateError as error:
        raise ParetuneError(f"candidate {row.candidate_id} cannot be exported: {error.message}", error.hint) from None
    finally:
        runner.close()
        fresh.close()
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


def _real_facts(order: WorkOrder, job: Job) -> dict[str, Any]:
    """The facts of the trained model, which a modelled job never made."""
    limit_s = job.limits.training_s + job.limits.exporting_s
    return in_own_process(verbs.facts, order, stage="training", limit_s=limit_s)


def _latency(bench: Bench, path: Path, row: TrialRow) -> tuple[Measurement, int]:
    claimed = metric_interval(row.metrics, "speedup")
    measured = bench.measure(path, row.decisions)
    times = 1
    while not row.simulated and times < MEASUREMENTS and _disjoint(claimed, measured.ratio_ci95):
        measured = combined(measured, bench.measure(path, row.decisions))
        times += 1
    return measured, times


def _receipt(
    row: TrialRow,
    built: Built,
    validation: Mapping[str, Loss],
    test: Mapping[str, Loss],
    measured: Measurement | None,
    times: int,
) -> dict[str, Any]:
    findings = []
    if not row.simulated:
        if row.artifact_sha256 != built.sha256:
            findings.append("the file built now differs from the one that was measured")
        for name, loss in validation.items():
            if name in row.metrics and row.metrics[name] != loss.value:
                findings.append(
                    f"{name} on the validation split is {loss.value!r}, the front said {row.metrics[name]!r}"
                )
        if measured is not None and _disjoint(metric_interval(row.metrics, "speedup"), measured.ratio_ci95):
            findings.append(f"speed-up {measured.ratio:.2f} is outside the front's interval")
    for name, loss in test.items():
        ours, theirs = validation[name].difference_ci95, loss.difference_ci95
        if ours is not None and theirs is not None and _disjoint(ours, theirs):
            findings.append(f"{name} loses another amount on the test split than on the validation split")
    verdict = "disagrees" if findings else "unclaimed" if row.simulated else "confirmed"
    return {
        "verdict": verdict,
        "findings": findings,
        "candidate_id": row.candidate_id,
        "digest": row.digest,
        "model_sha256": built.sha256,
        "size_bytes": built.size_bytes,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "claimed": {} if row.simulated else row.metrics,
        "quality": {
            "validation": {name: asdict(loss) for name, loss in validation.items()},
            "test": {name: asdict(loss) for name, loss in test.items()},
        },
        **_timed(measured, times),
    }


def _timed(measured: Measurement | None, times: int) -> dict[str, Any]:
    """A receipt's latency; None for a file with number formats that no runtime computes in."""
    if measured is None:
        return {"latency": None, "health": None, "measurement": None}
    baseline = measured.baseline_metrics()["latency_ms"]
    return {
        "latency": {**measured.metrics(), "baseline": baseline, "measurements": times},
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


def _disjoint(a: tuple[float, float] | None, b: tuple[float, float]) -> bool:
    return a is not None and (a[0] > b[1] or b[0] > a[1])


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
