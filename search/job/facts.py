"""The facts of a prepared job: what every later step needs to know of the model and what the devices answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.probing.layer_table import LayerTable
from evaluators.quantize.scheme import Scheme
from hwprofiles import Precision
from search.fronts.reference import Reference
from search.space.encoding import UnitEncoding
from search.space.layer_changes import LayerChange, read_change

Json = dict[str, Any]

_MEASURED = ("device_answers", "baseline_measurements", "measuring_s", "preparing_s", "references", "layer_tables")
"""Keys that a job on devices that measure has in any case."""


@dataclass(frozen=True)
class StructureTable:
    """The layer table of the candidates that share a structure."""

    values: Mapping[str, str]
    """Values of the decisions other than layers' precisions."""
    table: LayerTable

    def to_dict(self) -> Json:
        """Returns the fields as JSON-able data."""
        return {"values": dict(self.values), "table": self.table.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StructureTable:
        """Returns the inverse of :meth:`to_dict`."""
        return cls(dict(data["values"]), LayerTable.from_dict(data["table"]))


@dataclass(frozen=True)
class JobFacts:
    """The facts of a prepared job. Facts that a job lacks have their default."""

    subject: str | None = None
    """Digest of model and data."""
    model_path: Path = Path()
    """The file of the fp32 model."""
    model_sha256: str | None = None
    groups: tuple[LayerGroup, ...] = ()
    shared_split: bool = False
    """Whether the task's splits share samples, so that its figures prove less."""
    notes: tuple[str, ...] = ()
    """Notes for the job's owner about reading the model, and about what is measured."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digests of model, data and task by these names."""
    static_schemes: Mapping[str, Scheme] = field(default_factory=dict)
    """Quantisation schemes of static int8 by family of runtimes."""
    layer_changes: tuple[LayerChange, ...] = ()
    """How decisions change the costs of the layers."""
    encodings: Mapping[str, UnitEncoding] = field(default_factory=dict)
    """The parts of the module that decisions are about, by the decisions' targets."""
    coverage: Json | None = None
    """What the space contains and leaves out (:func:`search.space.coverage.coverage`)."""
    device_answers: tuple[Json, ...] = ()
    """Benchmarks of the devices for the space; with the ``device`` if there are several."""
    baseline_measurements: Mapping[str, Json] = field(default_factory=dict)
    """Measurement of the fp32 model against itself, without raw samples, by device."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """The fp32 model's figures by device; none in jobs of earlier versions, whose figures stay raw."""
    layer_tables: Mapping[str, tuple[StructureTable, ...]] = field(default_factory=dict)
    """Layer tables by device, that of the fp32 model first."""
    no_layer_tables: Mapping[str, str] = field(default_factory=dict)
    """Why a device has no layer tables."""
    layer_times: LayerTable | None = None
    """The first device's table for a one-shot search of number formats by latency."""
    measuring_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds that the fp32 model took on a device: ``latency``, and ``beside`` for its secondary metrics."""
    preparing_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each part of the preparation."""
    time_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each phase so far, over all runs of the job."""
    ending: Json | None = None
    """Why the search ended early (:class:`search.controller.ending.Ending`)."""

    def reference(self, label: str) -> Reference:
        """Returns the fp32 model's figures on the device with this label."""
        return self.references.get(label, Reference())

    def to_dict(self) -> Json:
        """Returns the fields as JSON-able data, without the facts that the job lacks."""
        model = {
            "subject": self.subject,
            "model_path": str(self.model_path),
            "model_sha256": self.model_sha256,
            "groups": [asdict(group) for group in self.groups],
            "shared_split": self.shared_split,
            "notes": list(self.notes),
            "digests": dict(self.digests),
        }
        further = {
            "formats": {family: asdict(scheme) for family, scheme in self.static_schemes.items()},
            "scales": [change.to_dict() for change in self.layer_changes],
            "encodings": {target: part.to_dict() for target, part in self.encodings.items()},
            "coverage": self.coverage,
            "device_answers": list(self.device_answers),
            "baseline_measurements": dict(self.baseline_measurements),
            "references": {label: reference.to_dict() for label, reference in self.references.items()},
            "layer_tables": {label: [row.to_dict() for row in rows] for label, rows in self.layer_tables.items()},
            "no_layer_tables": dict(self.no_layer_tables),
            "layer_times": None if self.layer_times is None else self.layer_times.to_dict(),
            "measuring_s": dict(self.measuring_s),
            "preparing_s": dict(self.preparing_s),
            "time_s": dict(self.time_s),
            "ending": self.ending,
        }
        always = _MEASURED if self.baseline_measurements else ()
        return model | {key: value for key, value in further.items() if value or key in always}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobFacts:
        """Returns the inverse of :meth:`to_dict`; facts of earlier versions may lack keys, and have keys that are
        ignored."""
        schemes, tables, times = data.get("formats", {}), data.get("layer_tables", {}), data.get("layer_times")
        return cls(
            subject=data.get("subject"),
            model_path=Path(data.get("model_path", "")),
            model_sha256=data.get("model_sha256"),
            groups=tuple(map(_group_from, data.get("groups", ()))),
            shared_split=bool(data.get("shared_split", False)),
            notes=tuple(data.get("notes", ())),
            digests=data.get("digests", {}),
            static_schemes={family: Scheme(**scheme) for family, scheme in schemes.items()},
            layer_changes=tuple(map(read_change, data.get("scales", ()))),
            encodings={name: UnitEncoding.from_dict(part) for name, part in data.get("encodings", {}).items()},
            coverage=data.get("coverage"),
            device_answers=tuple(data.get("device_answers", ())),
            baseline_measurements=data.get("baseline_measurements", {}),
            references={label: Reference(**figures) for label, figures in data.get("references", {}).items()},
            layer_tables={label: tuple(map(StructureTable.from_dict, rows)) for label, rows in tables.items()},
            no_layer_tables=data.get("no_layer_tables", {}),
            layer_times=None if times is None else LayerTable.from_dict(times),
            measuring_s=data.get("measuring_s", {}),
            preparing_s=data.get("preparing_s", {}),
            time_s=data.get("time_s", {}),
            ending=data.get("ending"),
        )


def _group_from(data: Mapping[str, Any]) -> LayerGroup:
    precisions = tuple(map(Precision, data["precisions"]))
    return LayerGroup(**{**data, "nodes": tuple(data["nodes"]), "precisions": precisions})
