"""Detects searches in which nothing works, and summarises the reasons of the failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hwprofiles.errors import ParetuneError
from search.states import TrialState, is_failure
from search.store import TrialRow

IN_A_ROW = 5
"""A job ends after so many candidates failed in the same way before any has worked."""

_REASONS = 3
"""Number of reasons that an error names."""


class AllFailed(ParetuneError):
    """Raised if no candidate of a job worked, except the one that changes nothing."""


def does_not_work(row: TrialRow) -> bool:
    """Returns whether a candidate itself failed: not because its training was stopped or the machine was noisy."""
    return is_failure(row.state) and row.state not in (TrialState.STOPPED, TrialState.UNHEALTHY_MEASUREMENT)


class Failures:
    """The finished candidates of one run of a job, except the one that changes nothing (with digest ``baseline``)."""

    def __init__(self, baseline: str) -> None:
        self._baseline = baseline
        self._rows: list[TrialRow] = []

    def add(self, row: TrialRow) -> None:
        """Adds a finished candidate."""
        if row.digest != self._baseline:
            self._rows.append(row)

    @property
    def hopeless(self) -> bool:
        """Whether the job should end: nothing has worked, and the last few failed in the same way."""
        last = self._rows[-IN_A_ROW:]
        alike = len(last) == IN_A_ROW and len({row.state for row in last}) == 1
        return alike and all(map(does_not_work, self._rows))


def check_some_work(rows: Iterable[TrialRow], baseline: str) -> None:
    """Raises :class:`AllFailed` if there are finished candidates besides the baseline, and all of them failed."""
    changed = [row for row in rows if row.state.finished and row.digest != baseline]
    if changed and all(map(does_not_work, changed)):
        raise AllFailed(
            f"every candidate failed ({len(changed)}): {_reasons(changed)}",
            "fix the cause and run the job again; each candidate's reason: paretune candidates JOB",
        )


def _reasons(rows: Iterable[TrialRow]) -> str:
    """Returns the most frequent reasons, each with the number of candidates."""
    counted = Counter((row.state.value, row.reason or "no reason given") for row in rows).most_common()
    reasons = [f"{count} x {state}: {reason}" for (state, reason), count in counted[:_REASONS]]
    more = sum(count for _, count in counted[_REASONS:])
    return "; ".join([*reasons, *([f"{more} x other reasons"] if more else [])])
