"""Trained number formats: weights and inputs of layers in integers or floats of few bits, by training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from evaluators.devices.device import Device
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.number_format import number_format
from evaluators.quantize import Scheme
from evaluators.quantize.formats import LayerFormat, with_formats
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed, InvalidInput
from search.bounds import MOST, MOST_ITEMS
from search.fliqs.options import OneShotOptions
from search.fronts.metrics import ARCHITECTURE, SIMULATED_FORMATS
from search.gains.static_scheme import SAMPLES, calibrate_ranges
from search.space.candidate import Decision
from search.space.display import Item, describe_formats
from search.space.offer import Offer
from search.subject import Draft, Subject
from search.techniques.base import LAYER_NUMBERS, Stage, TechniqueOptions
from search.techniques.module import ModuleTechnique
from search.techniques.one_shot_formats import FLOAT, FORMATS, OneShotFormats, is_executable, rounding_formats

if TYPE_CHECKING:
    from torch import nn

    from search.training.constraint import TrainingConstraint
    from search.training.quantised import QuantisedLayers

PREFIX = f"{FORMATS}:"
_LAYERS = "layers"
"""Key of a built draft's notes: the format of each of its layer groups."""


class FormatsOptions(TechniqueOptions):
    """The section ``formats`` of a job's space."""

    choices: tuple[str, ...] = Field(("int4", "int8"), min_length=1, max_length=MOST_ITEMS)
    """Formats of every layer: ``int2`` to ``int8``, and floats as ``e<exponent bits>m<mantissa bits>``. ``fp32`` is
    always a choice of decisions for layers, and one of a search if it is written here."""
    search: OneShotOptions | None = Field(None, exclude=True)
    """One search for the formats within each training instead of one decision for each layer."""
    inputs_from: float = Field(0.05, ge=0, lt=1)
    """Share of the training after which inputs are rounded too."""
    calibration_samples: int = Field(SAMPLES, ge=1, le=MOST)
    """Samples that calibrate tensors which no layer reads."""
    activations: Literal["auto", "uint8", "int8"] = "auto"
    """Type of activations; ``auto`` takes that of the runtime's kernels."""

    @field_validator("choices")
    @classmethod
    def _check_choices(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        try:
            names = dict.fromkeys(name if name == FLOAT else number_format(name).name for name in choices)
        except InvalidInput as error:
            raise ValueError(f"{error.message}: {error.hint}") from None
        if not set(names) - {FLOAT}:
            raise ValueError("name a format besides fp32")
        return tuple(names)


class FormatsTechnique(ModuleTechnique):
    """Quantisation-aware training: one decision for each layer group, or, with the option ``search``, one for the model
    (:class:`search.techniques.one_shot_formats.OneShotFormats`).

    Layers that a runtime computes together share a decision. Int8, in which runtimes compute, is written with the
    trained scales; other formats are *simulated*: computed exactly in float operators, without a claim on latency.
    """

    stage = Stage.NUMBERS
    Options = FormatsOptions
    options: FormatsOptions
    unchanged = FLOAT
    decides = LAYER_NUMBERS
    further_keys = frozenset({FORMATS, SIMULATED_FORMATS, ARCHITECTURE})

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        self._layers: QuantisedLayers | None = None
        """The layers of the module that was changed last."""
        self._one_shot: OneShotFormats | None = None
        """The search for formats; None if each layer group has a decision."""
        if (search := self.options.search) is not None:
            self._one_shot = OneShotFormats(search, self.options.choices, subject, self.groups_of)

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """See the class; the device is not benchmarked.

        Raises :class:`InvalidInput` if no layer can have a format of few bits, or the job trains nothing.
        """
        if not self.layers:
            raise InvalidInput(
                "space.formats: the model has no linear or convolution layer to give a number format",
                "leave formats out of the space",
            )
        if self.subject.recipe is None:
            raise InvalidInput("space.formats: number formats are trained, and recovery is null", "give a recovery")
        if self._one_shot is not None:
            return Offer((self._one_shot.decision(),))
        choices = (FLOAT, *rounding_formats(self.options.choices))
        return Offer(tuple(Decision(_name(g.name), choices, FORMATS, g.name, "layer") for g in self.layers))

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        """Before the last round, prepare the module's layers for rounding; in earlier rounds nothing changes."""
        from search.training.quantised import QuantisedLayers

        if way == 1:
            self._layers = QuantisedLayers(module, self.groups_of(module), rounding_formats(self.options.choices))
        return module

    def constraint(self, module: nn.Module, values: Mapping[str, str], steps: int) -> TrainingConstraint:
        """Rounding to the formats, or the search for them."""
        from search.fliqs.one_shot import FixedFormats

        layers = self._layers
        if layers is None:
            raise BuildFailed("number formats are trained in the last round", "run the job anew")
        if self._one_shot is not None:
            return self._one_shot.constraint(module, layers, values, steps)
        chosen = {name: value for name in layers.groups if (value := values[_name(name)]) != FLOAT}
        return FixedFormats(layers, chosen, steps, self.options.inputs_from)

    def finish(self, module: nn.Module, values: Mapping[str, str]) -> dict[str, Any]:
        """Notes: the formats, the bounds of inputs by the scope of their layer's nodes, and a sub-network's choices."""
        from search.pruning.names import onnx_path

        layers = self._layers
        if layers is None:
            return {}
        bounds = layers.bounds()
        chosen = dict(layers.chosen)
        layers.remove()
        self._layers = None
        return {
            "formats": chosen,
            "bounds": {"/" + "/".join(onnx_path(module, layer)): bound for layer, bound in bounds.items()},
            **({} if self._one_shot is None else self._one_shot.architecture(module)),
        }

    def module_to_export(self, module: nn.Module, values: Mapping[str, str]) -> nn.Module:
        """Returns the chosen sub-network of an elastic network, otherwise the module."""
        return module if self._one_shot is None else self._one_shot.extract(module)

    def depends(self) -> list[Any]:
        """See :meth:`ModuleTechnique.depends`: the options of a one-shot search."""
        return [] if self._one_shot is None else self._one_shot.depends()

    def layer_formats(self, draft: Draft, values: Mapping[str, str]) -> dict[str, str]:
        """See :meth:`Technique.layer_formats`."""
        formats: dict[str, str] = draft.notes.get(FORMATS, {}).get("formats", {})
        return dict(formats)

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """Writes the trained rounding into the graph."""
        chosen = self.layer_formats(draft, values)
        if not chosen:
            return draft
        bounds: Mapping[str, float] = draft.notes[FORMATS]["bounds"]
        formats = {
            node: LayerFormat(chosen[group.name], bounds[scope])
            for group in draft.groups
            if group.name in chosen
            for node in group.nodes
            if (scope := node.rpartition("/")[0]) in bounds
        }
        ranges = calibrate_ranges(self.subject, draft, "minmax", self.options.calibration_samples)
        layers = {group.name: chosen.get(group.name, FLOAT) for group in draft.groups}
        notes = {**draft.notes, FORMATS: {**draft.notes[FORMATS], _LAYERS: layers}}
        return replace(draft, model=with_formats(draft.model, draft.groups, formats, ranges, self.scheme), notes=notes)

    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        """No figures, but the formats of all layers, whether some are simulated, and a sub-network's choices."""
        notes = draft.notes.get(FORMATS, {})
        layers, architecture = notes.get(_LAYERS), notes.get(ARCHITECTURE)
        return {
            **({FORMATS: layers} if layers else {}),
            **({SIMULATED_FORMATS: True} if layers and not is_executable(layers) else {}),
            **({ARCHITECTURE: architecture} if architecture else {}),
        }

    def describe(self, notes: Mapping[str, Any]) -> list[Item]:
        """Returns the formats as a strip, and a sub-network's choices."""
        layers = notes.get(_LAYERS, {})
        return describe_formats(layers, notes.get(ARCHITECTURE, {}), simulated=not is_executable(layers))

    @property
    def by_latency(self) -> bool:
        """Whether a one-shot search takes latency from the device's table of layers."""
        return self._one_shot is not None and self._one_shot.by_latency

    @property
    def layers_without_decision(self) -> frozenset[str]:
        """See :attr:`Technique.layers_without_decision`: those whose format the training finds."""
        return frozenset() if self._one_shot is None else frozenset(group.name for group in self.layers)

    @cached_property
    def layers(self) -> tuple[LayerGroup, ...]:
        """The layer groups that can have a format."""
        names = self.groups_of(self.task.module(trained=False))
        return tuple(group for group in self.subject.groups if group.name in names)

    @property
    def scheme(self) -> Scheme:
        """The scheme: symmetric activations, as they were trained; unsigned for ONNX Runtime's kernels."""
        chosen = self.options.activations
        family = runtime_of(self.subject.profile.runtime).family
        usual: Literal["uint8", "int8"] = "uint8" if family in ("onnxruntime", "null") else "int8"
        return Scheme(
            activation_type=usual if chosen == "auto" else chosen, symmetric_activations=True,
            integer_bias=family != "tensorrt",
        )  # fmt: skip

    def groups_of(self, module: nn.Module) -> dict[str, list[str]]:
        """Returns the layers of a module by layer group, for groups that consist of layers that can round."""
        from search.pruning.names import layers_by_scope
        from search.training.quantised import QUANTISABLE

        scopes = layers_by_scope(module, QUANTISABLE)
        groups = {}
        for group in self.subject.groups:
            layers = [scopes.get(node.rpartition("/")[0]) for node in group.nodes]
            names = [layer for layer in dict.fromkeys(layers) if layer is not None]
            if Precision.INT8 in group.precisions and names and None not in layers:
                groups[group.name] = names
        return groups


def _name(group: str) -> str:
    """Returns the name of the decision about a layer group."""
    return PREFIX + group
