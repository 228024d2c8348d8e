"""Decisions, spaces and candidates: plain frozen data, never a live module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, Literal

from hwprofiles import digest_of

RUNTIME = "runtime"
"""Name of the decision about the runtime (``name`` or ``name:hint``), where a device has several."""


def runtime_decision(label: str | None) -> str:
    """Names of the decision about the runtime on a device; None stands for the job's first device.

    >>> runtime_decision(None), runtime_decision("phone")
    ('runtime', 'runtime@phone')
    """
    return RUNTIME if label is None else f"{RUNTIME}@{label}"


Scope = Literal["layer", "module", "model", "device"]
"""What a decision is about: a layer group of the graph, a part of the torch module, the whole model, or what executes
it on a device."""


@dataclass(frozen=True)
class Decision:
    """One choice of a search space.

    ``name`` is unique in the space and stored with every candidate. It is a label: what the decision is about stands in
    the other fields, and nothing is read from the name.
    """

    name: str
    choices: tuple[str, ...]
    """Possible values; the first leaves the model as it is."""
    technique: str
    """Name of the technique that carries the decision out."""
    target: str | None = None
    """Name of the layer group, or of the part of the module; None for the whole model and for devices."""
    scope: Scope = "model"
    device: str | None = None
    """Label of the device, if the scope is one and it is not the job's first."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Decision:
        """From JSON-able data; spaces stored by earlier versions lack the fields after ``technique``."""
        fields = data if "scope" in data else {**data, **_fields_of_name(data["name"], data["technique"])}
        return cls(**{**fields, "choices": tuple(data["choices"])})


def _fields_of_name(name: str, technique: str) -> dict[str, Any]:
    """Target, scope and device of a decision that an earlier version stored by name alone."""
    if technique == RUNTIME:
        return {"scope": "device", "device": name.partition("@")[2] or None}
    target = name.partition(":")[2] or None
    scope = "model" if target is None else "layer" if technique in ("precision", "formats") else "module"
    return {"target": target, "scope": scope}


@dataclass(frozen=True)
class Replacement:
    """On ``runtime``, ``value`` of ``technique`` is replaced by ``instead``, because it is unsupported or slower there.

    Falls back to the first choice if the decision lacks ``instead``.
    """

    runtime: str
    technique: str
    value: str
    instead: str


@dataclass(frozen=True)
class Space:
    """All decisions of a job, in a fixed order.

    Runtimes share the decisions. A candidate holds the values after ``replacements``, so that assignments which build
    the same file are the same candidate.

    >>> space = Space((Decision("stem", ("fp32", "int8"), "precision"),), context="")
    >>> space.candidate({"stem": "int8"}).decisions
    {'stem': 'int8'}
    """

    decisions: tuple[Decision, ...]
    context: str
    """Digest of everything else that a candidate depends on: model, data, configuration of the techniques."""
    replacements: tuple[Replacement, ...] = ()
    """Values that one of the runtimes does not support or does not gain from."""
    promising: tuple[tuple[tuple[str, str], ...], ...] = ()
    """Settings of the whole model (value by technique) that the device measured as faster, the fastest first."""

    @cached_property
    def by_name(self) -> dict[str, Decision]:
        """Its decisions by name."""
        return {decision.name: decision for decision in self.decisions}

    def decisions_of(self, technique: str) -> tuple[Decision, ...]:
        """Returns the decisions that a technique carries out, in order."""
        return tuple(decision for decision in self.decisions if decision.technique == technique)

    def values_by_target(self, technique: str, values: Mapping[str, str]) -> dict[str, str]:
        """Returns the values of a technique's decisions by what they are about; those about the whole model are left
        out.

        >>> stem = Decision("precision:stem", ("fp32", "int8"), "precision", target="stem", scope="layer")
        >>> Space((stem,), context="").values_by_target("precision", {"precision:stem": "int8"})
        {'stem': 'int8'}
        """
        return {d.target: values[d.name] for d in self.decisions_of(technique) if d.target and d.name in values}

    @property
    def size(self) -> int:
        """Upper bound of the number of different candidates: replacements make some assignments equal."""
        return prod(len(decision.choices) for decision in self.decisions)

    def candidate(self, values: Mapping[str, str]) -> Candidate:
        """Returns the candidate with these values; raises ``ValueError`` unless each decision has exactly one allowed
        value."""
        if set(values) != {decision.name for decision in self.decisions}:
            raise ValueError(f"values for {sorted(values)}, not for the decisions of this space")
        for decision in self.decisions:
            if values[decision.name] not in decision.choices:
                raise ValueError(f"{decision.name}: {values[decision.name]!r} is not among {decision.choices}")
        runtime = values.get(RUNTIME)
        return Candidate(
            tuple((d.name, self._executable_value(d, values[d.name], runtime)) for d in self.decisions), self.context
        )

    def _executable_value(self, decision: Decision, value: str, runtime: str | None) -> str:
        instead = self._instead.get((runtime, decision.technique, value), value)
        return instead if instead in decision.choices else decision.choices[0]

    @cached_property
    def _instead(self) -> dict[tuple[str | None, str, str], str]:
        return {(r.runtime, r.technique, r.value): r.instead for r in self.replacements}

    def baseline(self) -> Candidate:
        """Returns the candidate that changes nothing: every decision's first choice."""
        return self.candidate({decision.name: decision.choices[0] for decision in self.decisions})

    def uniform(self) -> list[Candidate]:
        """Uniform assignments: one value per technique wherever a decision has it, the first choice elsewhere.

        All combinations of the techniques' values. Starts with the baseline, then the ``promising`` settings.
        """
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
        """Returns the candidate that takes each technique's value in every decision that has it, the first choice
        elsewhere."""
        return self.candidate(self._everywhere(values))

    def _everywhere(self, values: Mapping[str, str]) -> dict[str, str]:
        wanted = {d.name: values.get(d.technique, d.choices[0]) for d in self.decisions}
        return {d.name: wanted[d.name] if wanted[d.name] in d.choices else d.choices[0] for d in self.decisions}

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return {
            "decisions": [asdict(d) | {"choices": list(d.choices)} for d in self.decisions],
            "context": self.context,
            **(
                {"replacements": [asdict(replacement) for replacement in self.replacements]}
                if self.replacements
                else {}
            ),
            **({"promising": [dict(setting) for setting in self.promising]} if self.promising else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """Returns the inverse of :meth:`to_dict`."""
        decisions = map(Decision.from_dict, data["decisions"])
        replacements = (Replacement(**row) for row in data.get("replacements", ()))
        promising = (tuple(setting.items()) for setting in data.get("promising", ()))
        return cls(tuple(decisions), data["context"], tuple(replacements), tuple(promising))


@dataclass(frozen=True)
class Candidate:
    """One value for each decision of a space, in the space's order."""

    values: tuple[tuple[str, str], ...]
    context: str
    """:attr:`Space.context` of the space."""
    origin: Mapping[str, Any] | None = field(default=None, compare=False)
    """Where the strategy has it from, JSON-able, such as the stage of a search; no part of its identity."""

    def with_origin(self, **origin: Any) -> Candidate:
        """Returns the candidate with this origin."""
        return replace(self, origin=origin)

    @property
    def decisions(self) -> dict[str, str]:
        """Decision name to value."""
        return dict(self.values)

    @cached_property
    def digest(self) -> str:
        """Digest of the content: equal decisions in an equal context give an equal digest."""
        return digest_of([self.values, self.context])
