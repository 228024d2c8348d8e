"""The models of a profile: their files, runtimes, and inputs that fit both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from evaluators.graphs.model import input_specs, load_model
from evaluators.runtimes import NullRuntime, runtime_of
from evaluators.tensors import Array, TensorSpec
from hwprofiles import Profile, digest_of_file
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from search.export.bundle import MANIFEST, MODEL

_OPEN_DIMENSION = 8
"""Size of open dimensions other than the batch."""


@dataclass(frozen=True)
class ProfiledModel:
    """A model and the runtime that executes it."""

    path: Path
    """Its ONNX file."""
    runtime: str
    """``name`` or ``name:hint``."""
    version: str
    """Version of the runtime."""
    by_bundle: bool
    """Whether its bundle named the runtime."""
    model: onnx.ModelProto
    """The file as it was read."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """Its inputs."""
        return input_specs(self.model)

    def on(self, profile: Profile) -> Profile:
        """Returns the device with this model's runtime as its first one."""
        return replace(profile, runtime=self.runtime, runtime_version=self.version)


def open_model(place: Path, runtime: str | None, profile: Profile) -> ProfiledModel:
    """Reads a model file, or the model of a bundle's folder.

    Its runtime is ``runtime``, else the one that its bundle names, else the device's first one. Raises
    :class:`InvalidInput` for files that cannot be read and for unknown runtimes, :class:`DeviceUnavailable` for
    runtimes that are not installed.
    """
    path = place / MODEL if place.is_dir() else place
    model = load_model(path)
    named = None if runtime else _runtime_of_bundle(path)
    spec = runtime or named or profile.runtime
    if runtime_of(spec).name == NullRuntime.name and not profile.simulated:
        raise InvalidInput(
            f"runtime {spec!r} executes nothing", f"use another one, such as --runtime {profile.runtime}"
        )
    try:
        version = runtime_of(spec).version()
    except DeviceUnavailable as error:
        if named is None:
            raise
        raise DeviceUnavailable(
            f"{place} was exported for {spec}: {error.message}",
            f"{error.hint}, or measure in another runtime: --runtime {profile.runtime}",
        ) from None
    return ProfiledModel(path, spec, version, named is not None, model)


def _runtime_of_bundle(model: Path) -> str | None:
    """Returns the runtime that a manifest beside a model names; None if there is none, or if it describes another
    file."""
    try:
        manifest: Any = json.loads((model.parent / MANIFEST).read_text())
        name = manifest["runtime"]["name"]
        described = manifest["model_sha256"] == digest_of_file(model)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(name) if described else None


def match_inputs(ours: ProfiledModel, theirs: ProfiledModel) -> dict[str, str]:
    """Matches the inputs of two models: the name of theirs by the name of ours.

    By name if both have the same names, else by position. Raises :class:`InvalidInput` if types or shapes differ.
    """
    others = {spec.name: spec for spec in theirs.specs}
    by_name = {spec.name for spec in ours.specs} == set(others)
    pairs = (
        [(spec, others[spec.name]) for spec in ours.specs]
        if by_name
        else list(zip(ours.specs, theirs.specs, strict=False))
    )
    if len(ours.specs) != len(others) or not all(_agree(spec, other) for spec, other in pairs):
        raise InvalidInput(
            f"{theirs.path} takes {_in_words(theirs.specs)}; {ours.path} takes {_in_words(ours.specs)}",
            "compare two models whose inputs have the same number, types and shapes",
        )
    return {spec.name: other.name for spec, other in pairs}


def sample_of(specs: tuple[TensorSpec, ...], others: Mapping[str, TensorSpec], batch: int) -> dict[str, Array]:
    """Random inputs that also fit ``others``, the other model's inputs by the name of ours."""
    sizes = {spec.name: spec if spec.name not in others else _merge_specs(spec, others[spec.name]) for spec in specs}
    return random_inputs(tuple(sizes.values()), batch)


def merge_names(sample: Mapping[str, Array], matched: Mapping[str, str]) -> dict[str, Array]:
    """Returns the sample under the names of both models.

    Raises :class:`InvalidInput` if a name stands for different inputs in the two models.
    """
    merged = dict(sample)
    for name, other in matched.items():
        present = merged.setdefault(other, sample[name])
        if (present.shape, present.dtype) != (sample[name].shape, sample[name].dtype):
            raise InvalidInput(
                f"the input {other!r} is another one in each model, of other shapes",
                "rename the inputs of one model",
            )
    return merged


def random_inputs(specs: tuple[TensorSpec, ...], batch: int) -> dict[str, Array]:
    """Random inputs in the model's shapes: standard normal numbers, zeros for integers and text."""
    rng = np.random.default_rng(0)
    sample: dict[str, Array] = {}
    for spec in specs:
        shape = [
            (batch if axis == 0 else _OPEN_DIMENSION) if dim is None else dim for axis, dim in enumerate(spec.shape)
        ]
        kind = np.dtype(spec.dtype)
        values = rng.standard_normal(shape) if np.issubdtype(kind, np.floating) else np.zeros(shape)
        sample[spec.name] = values.astype(kind)
    return sample


def _agree(spec: TensorSpec, other: TensorSpec) -> bool:
    return (
        spec.dtype == other.dtype
        and len(spec.shape) == len(other.shape)
        and all(a == b or None in (a, b) for a, b in zip(spec.shape, other.shape, strict=True))
    )


def _merge_specs(spec: TensorSpec, other: TensorSpec) -> TensorSpec:
    shape = tuple(b if a is None else a for a, b in zip(spec.shape, other.shape, strict=True))
    return TensorSpec(spec.name, spec.dtype, shape)


def _in_words(specs: tuple[TensorSpec, ...]) -> str:
    def shape(spec: TensorSpec) -> str:
        return "×".join("?" if dim is None else str(dim) for dim in spec.shape) or "scalar"

    return ", ".join(f"{spec.name!r} ({spec.dtype} {shape(spec)})" for spec in specs) or "no inputs"
