"""The documents of a bundle: receipt and manifest."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from evaluators.measuring.measurement import Measurement
from search.export.comparison import Outcome
from search.export.verdict import Evidence, judge, verdict_of
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.space.candidate import Space
from search.store import JobRow, TrialRow
from search.trials.device_evaluation import DeviceEvaluator
from search.trials.workspace import Built

_PACKAGES = ("paretune", "onnx", "onnxruntime", "openvino", "numpy", "torch")


def file_findings(job_row: JobRow, row: TrialRow, built: Built) -> list[str]:
    """Mistakes of the file itself: it must equal the measured one, byte for byte, and match the candidate's decisions.

    Empty for a modelled candidate.
    """
    if row.simulated:
        return []
    findings = []
    if row.artifact_sha256 != built.sha256:
        findings.append("the file built now differs from the one that was measured")
    try:
        digest = Space.from_dict(job_row.space or {}).candidate(row.decisions).digest
    except (KeyError, ValueError):
        digest = None
    if digest != row.digest:
        findings.append("the candidate's decisions are not those that its digest names")
    return findings


def receipt_of(row: TrialRow, built: Built, evidence: Evidence, findings: list[str]) -> dict[str, Any]:
    """The verdict with its reasons and checks, and the claimed figures."""
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


def latency_part(
    evaluator: DeviceEvaluator, measured: Measurement | None, times: int, evidence: Evidence
) -> dict[str, Any]:
    """A receipt's latency; None if no runtime computes in the file's number formats, or the machine was too busy."""
    if measured is None:
        why = evidence.missing.get("speedup", "no runtime computes in all of its number formats")
        return {"latency": None, "latency_missing": why, "health": None, "measurement": None}
    baseline = measured.baseline_metrics()["latency_ms"]
    return {
        "latency": {**evaluator.figures(measured), "baseline": baseline, "measurements": times},
        "latency_missing": None,
        "health": None if measured.health is None else measured.health.to_dict(),
        "measurement": measured.to_dict(),
    }


def manifest_of(job_row: JobRow, row: TrialRow, chosen: JobDevice, built: Built, facts: JobFacts) -> dict[str, Any]:
    """The manifest: what the file is, and what it is for."""
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
        "baseline_sha256": facts.model_sha256,
        "device": chosen.label,
        "profile_digest": chosen.profile.digest,
        "notes": list(facts.notes),
    }


def package_versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
