"""When nothing works: candidates that fail one after another, and what they say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hwprofiles.errors import ParetuneError
from search.states import TrialState
from search.store import TrialRow

IN_A_ROW = 5
"""Candidates that fail in the same way, before any has worked, after which a job ends."""

_SHOWN = 3
"""The most frequent reasons, which an error names."""


FAILED = "failed"
"""Stands for every state that is a failure."""


class AllFailed(ParetuneError):
    """No candidate of a job worked but the one that changes nothing."""


def has_failed(state: TrialState) -> bool:
    """Whether a candidate could not be measured."""
    return state.finished and not state.measured


def does_not_work(row: TrialRow) -> bool:
    """Whether a candidate failed for a reason of its own: not because its training was behind others', or the machine
    was noisy."""
    return has_failed(row.state) and row.state not in (TrialState.STOPPED, TrialState.UNHEALTHY_MEASUREMENT)


def states_of(name: str | None) -> frozenset[TrialState] | None:
    """The states that a name stands for: all for None; None where it stands for nothing."""
    if name is None:
        return frozenset(TrialState)
    if name == FAILED:
        return frozenset(filter(has_failed, TrialState))
    return frozenset([TrialState(name)]) if name in list(TrialState) else None


class Failures:
    """Watches the candidates that one run of a job works on, but for the one that changes nothing, whose digest is
    ``baseline``."""

    def __init__(self, baseline: str) -> None:
        self._baseline = baseline
        self._rows: list[TrialRow] = []

    def add(self, row: TrialRow) -> None:
        """A finished candidate."""
        if row.digest != self._baseline:
            self._rows.append(row)

    @property
    def hopeless(self) -> bool:
        """Whether the job is to end: nothing has worked, and the last few failed in the same way."""
        last = self._rows[-IN_A_ROW:]
        alike = len(last) == IN_A_ROW and len({row.state for row in last}) == 1
        return alike and all(map(does_not_work, self._rows))


def check_some_work(rows: Iterable[TrialRow], baseline: str) -> None:
    """Raises :class:`AllFailed` where all finished candidates but the baseline failed, if there are any."""
    others = [row for row in rows if row.state.finished and row.digest != baseline]
    if others and all(map(does_not_work, others)):
        raise AllFailed(
            f"every candidate failed ({len(others)}): {_reasons(others)}",
            "mend the cause and start the job anew; each candidate's reason: paretune candidates JOB",
        )


def _reasons(rows: Iterable[TrialRow]) -> str:
    """The most frequent reasons, each with how many candidates it is that of."""
    counted = Counter((row.state.value, row.reason or "no reason given") for row in rows).most_common()
    found = [f"{count} x {state}: {reason}" for (state, reason), count in counted[:_SHOWN]]
    more = sum(count for _, count in counted[_SHOWN:])
    return "; ".join([*found, *([f"{more} x other reasons"] if more else [])])
