"""What a job would do, found out without starting it: its space, and an estimate of its time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluators.devices.device import open_device
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.processes.sandbox import Sandbox
from evaluators.processes.sandbox_child import Progress, report
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, ParetuneError
from search.budget.allowance import Allowance
from search.gains.runtimes import possible_runtimes
from search.job.devices import JobDevice
from search.job.spec import Job
from search.space.candidate import RUNTIME, Space
from search.space.coverage_words import COVERAGE
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.workspace import Workspace

Json = dict[str, Any]

BUILDING_S = 1.0
"""Typical seconds to build a candidate, besides evaluating it."""
FINAL_MEMBERS = 8
"""Typical number of candidates that are measured again at the end."""
FURTHER_QUESTIONS = 3
"""Benchmarks of a setting in each runtime during the preparation."""


@dataclass(frozen=True)
class Estimate:
    """How long a job may take; from one brief measurement, so only roughly."""

    latency_ms: float
    """Of the fp32 model, measured briefly on the first device."""
    candidate_s: float
    """Seconds for one candidate."""
    candidates: int
    """Candidates that would be tried."""
    total_s: float
    """Seconds for everything, at most the job's minutes."""


def forecast(job: Job, folder: Path, devices: tuple[JobDevice, ...], progress: Progress) -> Json:
    """Returns what a job would do: ``space``, ``coverage``, ``runtimes``, ``notes`` and ``estimate``, as JSON-able
    data.

    Exports the untrained model in a sandbox, and times it on the first device if that measures and is part of this
    machine; benchmarks and stores nothing else. ``folder`` is the one that paths in the job start from. Raises
    :class:`ParetuneError` if the job could not be prepared.
    """
    context = JobContext(job, str(folder.resolve()), devices)
    sandbox = Sandbox(memory_bytes=job.limits.memory_bytes, progress=progress)
    try:
        limit_s = job.limits.exporting_s + job.limits.measuring_s
        document: Json = sandbox.call(_forecast, context, stage="exporting", limit_s=limit_s)
        return document
    except CandidateError as error:
        raise ParetuneError(f"the job cannot be prepared: {error.message}", error.hint or "check the task") from None
    finally:
        sandbox.close()


@sandboxed.in_job_folder
def _forecast(context: JobContext) -> Json:
    report("opening the task")
    work = Workspace(context, trained=False)
    report("collecting the decisions")
    space = work.space(*(None for _ in context.devices))
    runtimes = _runtimes(context)
    return {
        "space": _space_document(space, list(work.techniques)),
        COVERAGE: work.coverage(space),
        "runtimes": {label: list(names) for label, names in runtimes.items()},
        "notes": work.notes(),
        "estimate": _estimate(work, space, runtimes),
    }


def _space_document(space: Space, techniques: list[str]) -> Json:
    """Returns the size of a space, and for each technique its number of decisions and their values."""
    rows = []
    for name in dict.fromkeys([*techniques, *(decision.technique for decision in space.decisions)]):
        decisions = space.decisions_of(name)
        values = dict.fromkeys(value for decision in decisions for value in decision.choices)
        rows.append({"technique": name, "decisions": len(decisions), "values": list(values)})
    return {"size": space.size, "decisions": len(space.decisions), "techniques": rows}


def _runtimes(context: JobContext) -> dict[str, tuple[str, ...]]:
    """Returns the runtimes that each device would be benchmarked in."""
    sections = context.job.sections
    if sections is not None and RUNTIME not in sections:
        return {}
    choices = tuple((sections or {}).get(RUNTIME, {}).get("choices", ()))
    measuring = [device for device in context.devices if not device.profile.simulated]
    return {device.label: possible_runtimes(device.profile, choices) for device in measuring}


def _estimate(work: Workspace, space: Space, runtimes: Mapping[str, tuple[str, ...]]) -> Json | None:
    """Returns an :class:`Estimate`; None for a device that measures nothing, or is not part of this machine."""
    context, profile = work.context, work.profile
    if profile.simulated or profile.agent:
        return None
    latency_ms = _latency_ms(work, profile)
    measuring_s = _measuring_s(Allowance.within(context.job).protocol, latency_ms)
    samples = min(map(len, work.task.inputs("validation").values()))
    devices = len(context.devices)
    candidate_s = BUILDING_S + samples * latency_ms / 1000 + devices * measuring_s
    budget = context.job.budget
    candidates = min(budget.trials, space.size)
    questions = 1 + FURTHER_QUESTIONS * sum(map(len, runtimes.values()))
    final_s = min(candidates, FINAL_MEMBERS) * 2 * devices * measuring_s
    total_s = questions * measuring_s + candidates * candidate_s / budget.parallel + final_s
    if total_s > budget.total_s:
        left_s = max(0.0, budget.total_s - questions * measuring_s - final_s)
        candidates = max(1, math.floor(left_s / candidate_s * budget.parallel))
    return asdict(Estimate(latency_ms, candidate_s, candidates, min(total_s, budget.total_s)))


def _latency_ms(work: Workspace, profile: Profile) -> float:
    report("timing the fp32 model briefly")
    path = work.baseline_path
    with closing(open_device(profile)) as device:
        limit_s = work.job.limits.measuring_s
        measured = device.measure(LatencyRequest(path, path, work.sample, Protocol().quick(), limit_s))
    return float(measured.baseline_metrics()["latency_ms"]["p50"])


def _measuring_s(protocol: Protocol, latency_ms: float) -> float:
    """Typical seconds of one paired measurement: its fewest pairs, within its shortest and longest time."""
    runs = protocol.runs_of(latency_ms) + 1
    pairs_s = protocol.min_pairs * protocol.blocks * runs * 2 * latency_ms / 1000
    return min(max(pairs_s, protocol.aim_s), protocol.max_s) + 2 * protocol.energy_s
