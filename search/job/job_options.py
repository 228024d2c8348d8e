"""The options of a command that stand for fields of the job file. Imports nothing large, for clients of a server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.metrics import METRICS, base_of, metric_of
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest

DEFAULT_MINUTES = 10.0
"""Time limit of a job without a job file."""

_FLAGS = {
    "devices": "--device", "objectives": "--objective", "constraints": "--constraint", "space": "--space",
    "budget.minutes": "--minutes", "budget.trials": "--trials", "seed": "--seed", "name": "--name",
    "task.options.data": "--data",
}  # fmt: skip
"""The option that sets a field of the job file."""


@dataclass(frozen=True)
class JobOptions:
    """The options of a command that stand for fields of the job file; None or empty where they were not given."""

    data: Path | None = None
    """Relative to the current folder."""
    devices: Sequence[str] = ()
    objectives: Sequence[str] = ()
    """``METRIC``, ``METRIC:max`` or ``METRIC:min``."""
    constraints: Sequence[str] = ()
    space: Sequence[str] = ()
    """Names of techniques; several may stand in one text, separated by commas."""
    minutes: float | None = None
    trials: int | None = None
    seed: int | None = None
    name: str | None = None

    def apply(self, data: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Returns the job's data with the options in place of its fields; ``labels`` are those of its devices."""
        fields: dict[str, Any] = {"seed": self.seed, "name": self.name}
        if self.devices:
            fields["devices"] = _select_devices(data["devices"], labels, self.devices)
        if self.objectives:
            fields["objectives"] = [parse_objective(text) for text in self.objectives]
        if self.constraints:
            fields["constraints"] = list(self.constraints)
        if self.space:
            names = [name.strip() for text in self.space for name in text.split(",") if name.strip()]
            fields["space"] = {name: (data.get("space") or {}).get(name, {}) for name in names}
        budget = {"minutes": self.minutes, "trials": self.trials}
        given = {key: value for key, value in fields.items() if value is not None}
        return data | given | {"budget": data["budget"] | {k: v for k, v in budget.items() if v is not None}}

    def explain(self, error: InvalidInput, *, from_file: bool) -> InvalidInput:
        """Returns the error in the words of the command: it names the option that was given, rather than the field."""
        fields = "|".join(re.escape(field) for field in _FLAGS if self._has(field))
        message = (
            re.sub(rf"^({fields})(\.\w+)*: ", lambda match: f"{_FLAGS[match[1]]}: ", error.message)
            if fields
            else error.message
        )
        if not from_file:
            message = re.sub(r"^task\.(name|options\.model): ", "", message)
        hint = error.hint
        if message.startswith("--") and (written := re.match(r"write: \w+: (.*)", hint)):
            hint = f"write: {message.partition(':')[0]} {written[1]}"
        return InvalidInput(message, hint)

    def _has(self, field: str) -> bool:
        """Returns whether the option for a field of the job file was given, named like the last part."""
        return getattr(self, field.rpartition(".")[2]) not in (None, (), [])


NO_OPTIONS = JobOptions()


def parse_objective(text: str) -> dict[str, str]:
    """Returns an objective as a command names it; without a direction that of the table of metrics, else ``max``.

    >>> parse_objective("size_bytes"), parse_objective("fnr:3:min")
    ({'metric': 'size_bytes', 'direction': 'min'}, {'metric': 'fnr:3', 'direction': 'min'})
    """
    from search.techniques import TECHNIQUES, own_metrics

    metric, colon, direction = text.strip().rpartition(":")
    if colon and direction in ("max", "min"):
        return {"metric": metric, "direction": direction}
    if colon and base_of(metric) in METRICS and base_of(metric) != "fnr":
        raise InvalidInput(
            f"--objective: unknown direction {direction!r} in {text!r}", nearest(direction, ["max", "min"])
        )
    return {"metric": text.strip(), "direction": metric_of(text.strip(), own_metrics(TECHNIQUES)).better}


def _select_devices(devices: list[dict[str, Any]], labels: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
    """For each name the devices with that label or name; without any, all devices under that name; no duplicates."""
    selected: list[dict[str, Any]] = []
    for name in names:
        if "," in name:
            each = " ".join(f"--device {part.strip()}" for part in name.split(","))
            raise InvalidInput(f"--device: {name!r} is not one device", f"write: {each}")
        matches = [row for row, label in zip(devices, labels, strict=True) if name in (label, row["name"])]
        selected += matches or [row | {"name": name} for row in devices]
    return [row for number, row in enumerate(selected) if row not in selected[:number]]
