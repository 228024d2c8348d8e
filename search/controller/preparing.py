"""Prepares a job in a process of its own."""

from __future__ import annotations

from pathlib import Path

from evaluators.processes.sandbox import Sandbox
from hwprofiles.errors import CandidateError, ParetuneError
from search.budget.time_budget import TimeBudget
from search.controller.status import StatusReporter
from search.space.coverage_words import coverage_lines
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.preparation import PreparationResult


def prepare_job(context: JobContext, budget: TimeBudget, folder: Path, reporter: StatusReporter) -> PreparationResult:
    """Trains the model if need be, measures it and benchmarks the devices, in a sandbox (minutes).

    Reports what is going on, and at the end what the space holds and leaves out. ``folder`` gets the log. Raises
    :class:`ParetuneError` if the job cannot be prepared.
    """
    reporter.tell("preparing", "opening the task")
    limits, log = context.job.limits, folder / "prepare.log"
    sandbox = Sandbox(memory_bytes=limits.memory_bytes, log=log, progress=lambda text: reporter.tell("preparing", text))
    try:
        prepared = sandbox.call(
            sandboxed.prepare, context, budget, stage="training", limit_s=limits.training_s + limits.exporting_s
        )
    except CandidateError as error:
        raise ParetuneError(f"the job cannot be prepared: {error.message}", error.hint or f"see {log}") from None
    finally:
        sandbox.close()
    coverage = coverage_lines(prepared.facts.coverage) if prepared.facts.coverage else ()
    for line in (*prepared.facts.notes, *coverage):
        reporter.note(line)
    return prepared
