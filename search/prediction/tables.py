"""The layer tables of a job: one for each device, graph and runtime that its candidates can have."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device
from evaluators.probing.layer_table import LayerTable
from evaluators.probing.layer_timing import Question, measure_table
from evaluators.probing.questions import LayerAnswers
from evaluators.runtimes import runtime_of
from evaluators.tensors import Arrays
from hwprofiles import Precision, digest_of
from search.json_cache import StoredAnswers
from search.space.candidate import RUNTIME, Space
from search.space.layer_widths import LayerScale, levels
from search.techniques import Draft, Technique, is_of_module
from search.techniques.precision import CALIBRATION, PREFIX, PrecisionTechnique, executable_precision
from search.techniques.trained_formats import FORMATS, FormatsTechnique

LIMIT_S = 120.0
"""Time for the tables of one device; the answers that it was enough for serve the next job."""

MOST = 8
"""Combinations of graph and runtime that tables are made of, the first ones first."""

Json = dict[str, Any]


def layer_tables(
    device: Device,
    space: Space,
    techniques: Mapping[str, Technique],
    draft: Draft,
    sample: Arrays,
    *,
    subject: str,
    cache: Path,
    runtime: str = RUNTIME,
    most: int = MOST,
    passing: MutableMapping[str, Any] | None = None,
    scales: Sequence[LayerScale] = (),
    narrowed: Callable[[Mapping[str, str]], Draft | None] = lambda values: None,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> list[Json]:
    """Tables as ``{"values": {…}, "table": {…}}``, ``values`` being those of the decisions that are not a layer's
    precision. The first is that of the model as every candidate starts from it; none where that one has none.

    Where decisions narrow layers, each such table is followed by those of models that are equally narrow all over, as
    ``scales`` say and ``narrowed`` makes them (untrained); what lies between is interpolated from them.

    ``draft`` is the fp32 model, ``subject`` names it and its data, ``runtime`` is the decision that says what executes
    a candidate on this device. ``passing`` holds what was answered on a busy machine.
    """
    precision = techniques.get("precision")
    if not isinstance(precision, PrecisionTechnique):
        return []
    ends_at = clock() + limit_s
    found: list[Json] = []
    integers: dict[str, str] = {}
    with LayerAnswers(device, StoredAnswers(cache / "layers"), passing=passing) as answers:
        for values in itertools.islice(_structures(space, runtime, scales), most):
            spec = values.get(runtime)
            changed = narrowed(values) or draft
            for technique in techniques.values():
                changed = technique.apply(changed, values)
            question = Question(
                name=digest_of([subject, {name: value for name, value in values.items() if name != runtime}]),
                model=changed.model,
                groups=changed.groups,
                values=_precisions(space, changed, values),
                sample=sample,
                # Files have the number format that the first device's runtime wants, whichever device executes them.
                scheme=precision.scheme_of(spec if runtime == RUNTIME else None),
                runtime=None if spec == device.profile.runtime else spec,
                integers_runtime=spec and integers.setdefault(runtime_of(spec).family, spec),
            )
            table = measure_table(answers, question, limit_s=max(0.0, ends_at - clock()), clock=clock)
            if table is None:
                break
            found.append({"values": values, "table": table.to_dict()})
    return found


def format_table(
    device: Device, techniques: Mapping[str, Technique], draft: Draft, sample: Arrays, *, subject: str, cache: Path,
    passing: MutableMapping[str, Any] | None = None, limit_s: float = LIMIT_S,
) -> LayerTable | None:  # fmt: skip
    """The device's table of the fp32 model's layers in fp32 and int8, where number formats are searched for by it; None
    where they are not, or there was not time enough."""
    formats = techniques.get(FORMATS)
    if not isinstance(formats, FormatsTechnique) or not formats.by_latency:
        return None
    values = {group.name: {Precision.INT8.value: Precision.INT8} for group in formats.layers}
    question = Question(subject, draft.model, draft.groups, values, sample, formats.scheme)
    with LayerAnswers(device, StoredAnswers(cache / "layers"), passing=passing) as answers:
        return measure_table(answers, question, limit_s=limit_s)


def structure_of(decisions: Mapping[str, str], runtime: str = RUNTIME) -> dict[str, str]:
    """The values that choose a candidate's tables: all but the layers' precisions, the calibration's method, what
    changes the module, and what executes it on other devices."""
    return {
        name: value
        for name, value in decisions.items()
        if not name.startswith(PREFIX) and name != CALIBRATION and not is_of_module(name)
        and (not is_runtime(name) or name == runtime)
    }  # fmt: skip


def is_runtime(name: str) -> bool:
    """Whether a decision says what executes a candidate on one of the devices."""
    return name.partition("@")[0] == RUNTIME


def _structures(space: Space, runtime: str, scales: Sequence[LayerScale]) -> Iterator[dict[str, str]]:
    """The structures that candidates of the space can have, the baseline's first, each followed by its narrow ones."""
    baseline = space.baseline().decisions
    choices = {decision.name: decision.choices for decision in space.decisions}
    names = structure_of(baseline, runtime)
    seen: list[dict[str, str]] = []
    for values in itertools.product(*(choices[name] for name in names)):
        found = structure_of(space.candidate(baseline | dict(zip(names, values, strict=True))).decisions, runtime)
        if found not in seen:
            seen.append(found)
            yield found
            yield from (found | level for level in levels(scales, choices))


def _precisions(space: Space, draft: Draft, structure: Mapping[str, str]) -> dict[str, dict[str, Precision]]:
    """By group, the values that its decision can have in this structure, and what each comes to."""
    groups = {PREFIX + group.name: group for group in draft.groups}
    baseline = space.baseline().decisions | dict(structure)
    found: dict[str, dict[str, Precision]] = {}
    for decision in space.decisions:
        if decision.name in groups:
            group = groups[decision.name]
            candidates = (space.candidate(baseline | {decision.name: value}) for value in decision.choices)
            values = dict.fromkeys(candidate.decisions[decision.name] for candidate in candidates)
            found[group.name] = {value: executable_precision(group, Precision(value)) for value in values}
    return found
