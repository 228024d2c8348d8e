"""Decisions, spaces and candidates: plain frozen data, never a live module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from typing import Any

from hwprofiles import digest_of

RUNTIME = "runtime"
"""The decision that says what executes a candidate (``name`` or ``name:hint``), where a device has several runtimes."""


def runtime_decision(label: str | None) -> str:
    """The decision that says what executes a candidate on a device; None stands for the job's first one.

    >>> runtime_decision(None), runtime_decision("phone")
    ('runtime', 'runtime@phone')
    """
    return RUNTIME if label is None else f"{RUNTIME}@{label}"


@dataclass(frozen=True)
class Decision:
    """One choice of a search space: ``name``, its possible ``choices`` (the first leaves the model as it is), and the
    ``technique`` that carries it out."""

    name: str
    choices: tuple[str, ...]
    technique: str


@dataclass(frozen=True)
class Replacement:
    """Where ``runtime`` executes a candidate, a ``technique``'s ``value`` becomes ``instead`` (where a decision lacks
    that one: its first choice), as it does not run there or gains nothing."""

    runtime: str
    technique: str
    value: str
    instead: str


@dataclass(frozen=True)
class Space:
    """All decisions of a job, in a fixed order, and the ``context``: a digest of all else that a candidate's meaning
    depends on (model, data, techniques' configuration).

    Runtimes share the decisions; ``replacements`` say which values one of them does without. Candidates hold what is
    built, so that two ways to ask for the same are one candidate. ``promising`` are values by technique that made the
    whole model faster when the device was asked, the fastest first.

    >>> space = Space((Decision("stem", ("fp32", "int8"), "precision"),), context="")
    >>> space.candidate({"stem": "int8"}).decisions
    {'stem': 'int8'}
    """

    decisions: tuple[Decision, ...]
    context: str
    replacements: tuple[Replacement, ...] = ()
    promising: tuple[tuple[tuple[str, str], ...], ...] = ()

    @property
    def size(self) -> int:
        """Number of different candidates, at most: replacements make some of them equal."""
        return prod(len(decision.choices) for decision in self.decisions)

    def candidate(self, values: Mapping[str, str]) -> Candidate:
        """The candidate with these values; raises ``ValueError`` unless there is one allowed value a decision."""
        if set(values) != {decision.name for decision in self.decisions}:
            raise ValueError(f"values for {sorted(values)}, not for the decisions of this space")
        for decision in self.decisions:
            if values[decision.name] not in decision.choices:
                raise ValueError(f"{decision.name}: {values[decision.name]!r} is not among {decision.choices}")
        runtime = values.get(RUNTIME)
        return Candidate(
            tuple((d.name, self._executed(d, values[d.name], runtime)) for d in self.decisions), self.context
        )

    def _executed(self, decision: Decision, value: str, runtime: str | None) -> str:
        instead = self._instead.get((runtime, decision.technique, value), value)
        return instead if instead in decision.choices else decision.choices[0]

    @cached_property
    def _instead(self) -> dict[tuple[str | None, str, str], str]:
        return {(found.runtime, found.technique, found.value): found.instead for found in self.replacements}

    def baseline(self) -> Candidate:
        """The candidate that changes nothing: every decision's first choice."""
        return self.candidate({decision.name: decision.choices[0] for decision in self.decisions})

    def uniform(self) -> list[Candidate]:
        """The assignments a person would try first: one value everywhere that it is possible, the first choice
        elsewhere, for each technique's values in turn, crossed between techniques. Starts with the baseline, and then
        what is promising."""
        rows: list[dict[str, str]] = [{}]
        for technique in dict.fromkeys(decision.technique for decision in self.decisions):
            own = [decision for decision in self.decisions if decision.technique == technique]
            values = dict.fromkeys(value for decision in own for value in decision.choices)
            assignments = [{d.name: value if value in d.choices else d.choices[0] for d in own} for value in values]
            rows = [row | assignment for row in rows for assignment in assignments]
        rows = [*map(self._everywhere, map(dict, self.promising)), *rows]
        unique = {candidate.digest: candidate for candidate in [self.baseline(), *map(self.candidate, rows)]}
        return list(unique.values())

    def candidate_everywhere(self, values: Mapping[str, str]) -> Candidate:
        """The candidate with these values by technique in every decision that has them, the first choices elsewhere."""
        return self.candidate(self._everywhere(values))

    def _everywhere(self, values: Mapping[str, str]) -> dict[str, str]:
        wanted = {d.name: values.get(d.technique, d.choices[0]) for d in self.decisions}
        return {d.name: wanted[d.name] if wanted[d.name] in d.choices else d.choices[0] for d in self.decisions}

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "decisions": [asdict(d) | {"choices": list(d.choices)} for d in self.decisions],
            "context": self.context,
            **({"replacements": [asdict(one) for one in self.replacements]} if self.replacements else {}),
            **({"promising": [dict(one) for one in self.promising]} if self.promising else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """The inverse of :meth:`to_dict`."""
        decisions = (Decision(d["name"], tuple(d["choices"]), d["technique"]) for d in data["decisions"])
        replacements = (Replacement(**one) for one in data.get("replacements", ()))
        promising = (tuple(one.items()) for one in data.get("promising", ()))
        return cls(tuple(decisions), data["context"], tuple(replacements), tuple(promising))


@dataclass(frozen=True)
class Candidate:
    """One value for each decision of a space, in the space's order, and the space's context."""

    values: tuple[tuple[str, str], ...]
    context: str

    @property
    def decisions(self) -> dict[str, str]:
        """Decision name to value."""
        return dict(self.values)

    @cached_property
    def digest(self) -> str:
        """Names the candidate by content: equal decisions in an equal context, equal digest."""
        return digest_of([self.values, self.context])
